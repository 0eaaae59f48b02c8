#include "board/uboot_env.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mount.h>

#include <array>

#include "tests/unit/board/env_file.h"

namespace wherry::board {
namespace {

using Setting = UbootEnv::Setting;

std::string Value(const UbootEnv& env, std::string_view name) {
  Result<UbootEnv::Variables> variables = env.Read();
  EXPECT_TRUE(variables);
  auto found = variables->find(name);
  return found == variables->end() ? "" : found->second;
}

Result<> Set(const UbootEnv& env, std::string_view name, std::string_view value) {
  return env.Store(std::array<Setting, 1>{{{name, value}}});
}

TEST(UbootEnv, EachReadsWhatTheOtherWrote) {
  EnvFile file("BOOT_ORDER=A B\nbootcmd=run a; run b=c\n");
  UbootEnv env = UbootEnv::Open(file.config()).value();
  EXPECT_TRUE(env.redundant());
  EXPECT_EQ(Value(env, "bootcmd"), "run a; run b=c");
  for (int i = 0; i < 6; ++i) {
    file.Set("theirs", Cat("t", i));
    EXPECT_EQ(Value(env, "theirs"), Cat("t", i));
    ASSERT_TRUE(Set(env, "ours", Cat("o", i)));
    EXPECT_EQ(file.Printed(),
              Cat("BOOT_ORDER=A B\nbootcmd=run a; run b=c\nours=o", i, "\ntheirs=t", i, "\n"));
  }
  ASSERT_TRUE(Set(env, "ours", ""));
  EXPECT_EQ(file.Printed().find("ours"), std::string::npos);
}

TEST(UbootEnv, TheOtherCopyIsWritten) {
  EnvFile file("A=1\n");
  UbootEnv env = UbootEnv::Open(file.config()).value();
  std::string before = file.Bytes();
  ASSERT_TRUE(Set(env, "A", "2"));
  std::string after = file.Bytes();
  EXPECT_EQ(after.substr(0, EnvFile::kSize), before.substr(0, EnvFile::kSize));
  EXPECT_EQ(after[EnvFile::kSize + 4], 3);
  // The newer one is damaged: what was before it counts, and is kept by the next store.
  file.Flip(EnvFile::kSize + 100);
  EXPECT_EQ(Value(env, "A"), "1");
  ASSERT_TRUE(Set(env, "A", "5"));
  EXPECT_EQ(file.Bytes().substr(0, EnvFile::kSize), before.substr(0, EnvFile::kSize));
  EXPECT_EQ(Value(env, "A"), "5");
}

TEST(UbootEnv, FlagsDecide) {
  struct Row {
    int first;
    int second;
    const char* newer;
  };
  for (const Row& row : {Row{1, 2, "second"}, Row{2, 1, "first"}, Row{255, 0, "second"},
                         Row{0, 255, "first"}, Row{7, 7, "first"}, Row{254, 255, "second"}}) {
    EnvFile file("A=1\n");
    file.SetCopies(EnvCopy(EnvData("A=first\n"), EnvFile::kSize, row.first),
                   EnvCopy(EnvData("A=second\n"), EnvFile::kSize, row.second));
    UbootEnv env = UbootEnv::Open(file.config()).value();
    EXPECT_EQ(Value(env, "A"), row.newer) << row.first << " " << row.second;
    EXPECT_EQ(file.Printed(), Cat("A=", row.newer, "\n")) << row.first << " " << row.second;
    ASSERT_TRUE(Set(env, "A", "third"));
    EXPECT_EQ(Value(env, "A"), "third") << row.first << " " << row.second;
    EXPECT_EQ(file.Printed(), "A=third\n") << row.first << " " << row.second;
  }
}

TEST(UbootEnv, NothingIsWrittenWhenNothingChanges) {
  EnvFile file("A=1\nB=2\n");
  UbootEnv env = UbootEnv::Open(file.config()).value();
  std::string before = file.Bytes();
  ASSERT_TRUE(env.Store(std::array<Setting, 3>{{{"A", "1"}, {"B", "2"}, {"C", ""}}}));
  EXPECT_EQ(file.Bytes(), before);
}

TEST(UbootEnv, BothDamagedIsRefused) {
  EnvFile file("A=1\n");
  file.Flip(100);
  file.Flip(EnvFile::kSize + 100);
  std::string before = file.Bytes();
  UbootEnv env = UbootEnv::Open(file.config()).value();
  EXPECT_EQ(env.Read().error().code(), Errc::kCorrupt);
  EXPECT_EQ(Set(env, "A", "2").error().code(), Errc::kCorrupt);
  EXPECT_EQ(file.Bytes(), before);
}

TEST(UbootEnv, SingleCopyAndOffsetFromTheEnd) {
  EnvFile file("A=1\n");
  file.SetCopies(std::string(EnvFile::kSize, 'x'),
                 EnvCopy(EnvData("A=single\n"), EnvFile::kSize, -1));
  file.Configure(Cat(file.image(), " -0x2000 0x2000\n"));
  UbootEnv env = UbootEnv::Open(file.config()).value();
  EXPECT_FALSE(env.redundant());
  EXPECT_EQ(Value(env, "A"), "single");
  ASSERT_TRUE(Set(env, "A", "changed"));
  EXPECT_EQ(Value(env, "A"), "changed");
  EXPECT_EQ(file.Bytes().substr(0, EnvFile::kSize), std::string(EnvFile::kSize, 'x'));
  file.Configure(Cat(file.image(), " 0x2000 0x2000\n"));  // as libubootenv has it
  EXPECT_EQ(file.Printed(), "A=changed\n");
}

TEST(UbootEnv, TooMuch) {
  EnvFile file("A=1\n");
  UbootEnv env = UbootEnv::Open(file.config()).value();
  std::string before = file.Bytes();
  EXPECT_EQ(Set(env, "A", std::string(EnvFile::kSize, 'x')).error().code(), Errc::kNoSpace);
  EXPECT_EQ(file.Bytes(), before);
}

TEST(UbootEnv, WaitsForTheLock) {
  // Locks of its own: those of the machine are everybody's, other tests' too.
  if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      mount("tmpfs", "/var/lock", "tmpfs", 0, nullptr) != 0)
    GTEST_SKIP() << "a mount namespace takes CAP_SYS_ADMIN: run as root";
  EnvFile file("A=1\n");
  UbootEnv env = UbootEnv::Open(file.config()).value();
  UniqueFd lock = Open("/var/lock/fw_printenv.lock", O_RDWR | O_CREAT, 0644).value();
  ASSERT_EQ(flock(lock.get(), LOCK_EX), 0);
  EXPECT_EQ(Set(env, "A", "2").error().code(), Errc::kBusy);
  lock.Reset();
  EXPECT_TRUE(Set(env, "A", "2"));
}

TEST(UbootEnv, Configurations) {
  EnvFile file("A=1\n");
  struct Row {
    std::string text;
    Errc code;
  };
  const std::string image = file.image();
  for (const Row& row : {
           Row{"", Errc::kInvalid},
           Row{"# only a comment\n", Errc::kInvalid},
           Row{Cat(image, " 0x0\n"), Errc::kInvalid},
           Row{Cat(image, " 0x0 zero\n"), Errc::kInvalid},
           Row{Cat(image, " 0x0 0x7fffffff\n"), Errc::kInvalid},
           Row{Cat(image, " --1 0x2000\n"), Errc::kInvalid},
           Row{Cat(image, " 0 0x2000\n", image, " 0x1000 0x2000\n"), Errc::kInvalid},
           Row{Cat(image, " 0 0x2000\n", image, " 0x2000 0x1000\n"), Errc::kInvalid},
           Row{Cat(image, " 0 64\n", image, " 0x64 64\n", image, " 0x128 64\n"), Errc::kInvalid},
           Row{"/dev/mtd0 0 0x2000\n", Errc::kUnsupported},
           Row{"/dev/ubi0:env 0 0x2000\n", Errc::kUnsupported},
       }) {
    file.Configure(row.text);
    Result<UbootEnv> env = UbootEnv::Open(file.config());
    ASSERT_FALSE(env) << row.text;
    EXPECT_EQ(env.error().code(), row.code) << row.text;
  }
  file.Configure(image + " 0x3000 0x2000\n");
  EXPECT_EQ(UbootEnv::Open(file.config()).value().Read().error().code(), Errc::kInvalid);
}

}  // namespace
}  // namespace wherry::board
