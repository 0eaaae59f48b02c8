#include "core/runtime/mount_options.h"

#include <gtest/gtest.h>
#include <sys/mount.h>

namespace wherry::runtime {
namespace {

TEST(MountOptions, SortsWhatEachIsFor) {
  auto options =
      ParseMountOptions({"nosuid", "ro", "rbind", "rslave", "size=64k", "defaults", "rnoexec"});
  ASSERT_TRUE(options);
  EXPECT_EQ(options->attributes.set, uint64_t{MOUNT_ATTR_NOSUID | MOUNT_ATTR_RDONLY});
  EXPECT_EQ(options->attributes.propagation, uint64_t{MS_SLAVE});
  EXPECT_EQ(options->propagation_recursive, sys::Recursive::kYes);
  EXPECT_EQ(options->recursive_attributes.set, uint64_t{MOUNT_ATTR_NOEXEC});
  EXPECT_TRUE(options->bind);
  EXPECT_EQ(options->bind_recursive, sys::Recursive::kYes);
  EXPECT_EQ(options->data, std::vector<std::string>{"size=64k"});
}

TEST(MountOptions, TheLastWordCounts) {
  auto options = ParseMountOptions({"ro", "nodev", "rw", "noatime", "relatime"});
  ASSERT_TRUE(options);
  EXPECT_EQ(options->attributes.set, uint64_t{MOUNT_ATTR_NODEV});
  EXPECT_EQ(options->attributes.clear, uint64_t{MOUNT_ATTR_RDONLY | MOUNT_ATTR__ATIME});
  options = ParseMountOptions({"rw", "ro", "strictatime"});
  EXPECT_EQ(options->attributes.set, uint64_t{MOUNT_ATTR_RDONLY | MOUNT_ATTR_STRICTATIME});
  EXPECT_EQ(options->attributes.clear, uint64_t{MOUNT_ATTR__ATIME});
}

TEST(MountOptions, RelatimeIsNotRecursiveElatime) {
  auto options = ParseMountOptions({"relatime", "rro", "rrelatime"});
  ASSERT_TRUE(options);
  EXPECT_EQ(options->recursive_attributes.set, uint64_t{MOUNT_ATTR_RDONLY});
  EXPECT_EQ(options->recursive_attributes.clear, uint64_t{MOUNT_ATTR__ATIME});
  EXPECT_TRUE(options->data.empty());
}

TEST(MountOptions, FindsData) {
  auto options = ParseMountOptions({"mode=755", "newinstance"});
  ASSERT_TRUE(options);
  EXPECT_TRUE(options->HasData("mode"));
  EXPECT_TRUE(options->HasData("newinstance"));
  EXPECT_FALSE(options->HasData("mod"));
}

TEST(MountOptions, KeepsWhatIsMountedBelow) {
  auto options = ParseMountOptions({"rbind", "rw", "bind"});
  ASSERT_TRUE(options);
  EXPECT_EQ(options->bind_recursive, sys::Recursive::kYes);
}

TEST(MountOptions, MapsOwners) {
  auto plain = ParseMountOptions({"rbind", "idmap"});
  ASSERT_TRUE(plain);
  EXPECT_TRUE(plain->id_mapped);
  EXPECT_EQ(plain->id_mapped_recursive, sys::Recursive::kNo);
  auto recursive = ParseMountOptions({"rbind", "ridmap"});
  ASSERT_TRUE(recursive);
  EXPECT_EQ(recursive->id_mapped_recursive, sys::Recursive::kYes);
}

TEST(MountOptions, NamesWhatIsNotSupported) {
  for (const char* word : {"remount", "idmap=uids=0-1-10", "ridmap=gids=0-1-10"}) {
    auto options = ParseMountOptions({"ro", word});
    ASSERT_FALSE(options);
    EXPECT_EQ(options.error().code(), Errc::kUnsupported);
    EXPECT_NE(options.error().message().find(word), std::string::npos);
  }
}

}  // namespace
}  // namespace wherry::runtime
