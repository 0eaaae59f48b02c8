#include "engine/build/run_mount.h"

#include <gtest/gtest.h>

namespace wherry::build {
namespace {

std::string Problem(std::string_view text) {
  auto mount = ParseMount(text, Variables(), '\\');
  auto check = CheckMount(text);
  EXPECT_EQ(mount.has_value(), check.has_value()) << text;
  return mount ? "" : mount.error().message();
}

TEST(RunMount, Cache) {
  Variables variables;
  variables.Set("dir", "/var/cache");
  auto mount = ParseMount("type=cache,target=$dir/apt,id=apt,sharing=locked,mode=0755,uid=1,gid=2",
                          variables, '\\');
  ASSERT_TRUE(mount) << mount.error().message();
  EXPECT_EQ(mount->type, Mount::Type::kCache);
  EXPECT_EQ(mount->target, "/var/cache/apt");
  EXPECT_EQ(mount->id, "apt");
  EXPECT_EQ(mount->sharing, Mount::Sharing::kLocked);
  EXPECT_EQ(mount->mode, 0755u);
  EXPECT_EQ(mount->uid, 1u);
  EXPECT_EQ(mount->gid, 2u);
  EXPECT_FALSE(mount->read_only);
}

TEST(RunMount, BindIsTheDefaultAndReadOnly) {
  auto mount = ParseMount("from=build,source=/out,dst=/in", Variables(), '\\');
  ASSERT_TRUE(mount) << mount.error().message();
  EXPECT_EQ(mount->type, Mount::Type::kBind);
  EXPECT_EQ(mount->from, "build");
  EXPECT_EQ(mount->source, "/out");
  EXPECT_EQ(mount->target, "/in");
  EXPECT_TRUE(mount->read_only);
  EXPECT_EQ(MountOrigin("from=build,source=/out,dst=/in"), "build");
  EXPECT_EQ(MountOrigin("type=cache,target=/x"), "");
  for (auto [text, read_only] : {std::pair("target=/a,rw", false),
                                 {"target=/a,rw=false", true},
                                 {"target=/a,ro=0", false},
                                 {"target=/a,readonly", true}}) {
    mount = ParseMount(text, Variables(), '\\');
    ASSERT_TRUE(mount) << text;
    EXPECT_EQ(mount->read_only, read_only) << text;
  }
}

TEST(RunMount, TmpfsSecretAndQuotedFields) {
  auto mount = ParseMount("type=tmpfs,target=/t,size=1m", Variables(), '\\');
  ASSERT_TRUE(mount) << mount.error().message();
  EXPECT_EQ(mount->size_bytes, 1u << 20);
  mount = ParseMount("type=secret,id=key,env=KEY,required", Variables(), '\\');
  ASSERT_TRUE(mount) << mount.error().message();
  EXPECT_EQ(mount->env, "KEY");
  EXPECT_TRUE(mount->required);
  mount = ParseMount("\"target=/a,b\"\"c\",\"source=x\"", Variables(), '\\');
  ASSERT_FALSE(mount);  // the quote is one of words, too, and has no partner
  mount = ParseMount("\"target=/a,b\",\"source=x\"", Variables(), '\\');
  ASSERT_TRUE(mount) << mount.error().message();
  EXPECT_EQ(mount->target, "/a,b");
  EXPECT_EQ(mount->source, "x");
}

TEST(RunMount, Errors) {
  EXPECT_EQ(Problem("type=nfs"), "unsupported mount type \"nfs\"");
  EXPECT_EQ(Problem("type=cache,what=1"), "unexpected key 'what' in 'what=1'");
  EXPECT_EQ(Problem("type=cache,target"), "invalid field 'target' must be a key=value pair");
  EXPECT_EQ(Problem("type=cache,uid=x"), "invalid value for uid: x");
  EXPECT_EQ(Problem("type=cache,gid=4294967296"), "invalid value for gid: 4294967296");
  EXPECT_EQ(Problem("type=cache,mode=9"), "invalid value for mode: 9");
  EXPECT_EQ(Problem("type=bind,size=1"), "unexpected key 'size' for mount type 'bind'");
  EXPECT_EQ(Problem("type=bind,uid=1"), "uid not allowed for \"bind\" type mounts");
  EXPECT_EQ(Problem("type=tmpfs,mode=755"), "mode not allowed for \"tmpfs\" type mounts");
  EXPECT_EQ(Problem("type=bind,sharing=private"), "invalid cache sharing set for bind mount");
  EXPECT_EQ(Problem("type=cache,sharing=some"), "unsupported sharing value \"some\"");
  EXPECT_EQ(Problem("type=cache,required"), "unexpected key 'required' for mount type 'cache'");
  EXPECT_EQ(Problem("type=secret"), "invalid secret mount. one of source, target required");
  EXPECT_EQ(Problem("type=secret,id=a,source=b"), "both source and id can't be set");
  EXPECT_EQ(Problem("target=/a,ro=maybe"), "invalid value for ro: maybe");
  EXPECT_EQ(Problem("\"target=/a"),
            "failed to parse csv mounts: a quote is not where a field ends");
}

TEST(RunMount, TheOriginHasNoVariables) {
  auto check = CheckMount("from=$stage,target=/x");
  ASSERT_FALSE(check);
  EXPECT_EQ(check.error().message(),
            "'from' doesn't support variable expansion, define alias stage instead");
  EXPECT_TRUE(CheckMount("type=$type,target=$x"));
}

}  // namespace
}  // namespace wherry::build
