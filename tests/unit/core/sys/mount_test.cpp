#include "core/sys/mount.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/text.h"

namespace wherry::sys {
namespace {

// Each test runs in a mount namespace of its own, in a child.
class Mount : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0)
      GTEST_SKIP() << "mounting needs root";
    char name[] = "/tmp/wherry-mount-XXXXXX";
    dir_ = mkdtemp(name);
  }
  void TearDown() override {
    PretendOldMountApi(false);
    if (!dir_.empty())
      (void)RemoveTree(dir_);
  }

  // Runs `body` in the child; it returns "" or what went wrong.
  template <class Body>
  std::string Isolated(Body body) {
    int ends[2] = {-1, -1};
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
      std::string result = unshare(CLONE_NEWNS) < 0 ? "unshare" : "";
      if (result.empty() && !MakeAllPrivate())
        result = "private";
      if (result.empty())
        result = body();
      (void)WriteAll(ends[1], result, "result");
      _exit(0);
    }
    close(ends[1]);
    std::string result = *ReadAll(ends[0], 4096, "result");
    close(ends[0]);
    EXPECT_EQ(waitpid(pid, nullptr, 0), pid);
    return result;
  }

  std::string dir_;
};

template <class T>
std::string Problem(const Result<T>& result) {
  return result ? "" : result.error().message();
}

TEST_F(Mount, NewTmpfsWithOptions) {
  EXPECT_EQ(
      Isolated([&]() -> std::string {
        auto context = FsContext::Open("tmpfs");
        if (!context || !context->SetOption("size=64k") || !context->SetString("mode", "0711"))
          return "set";
        auto mount = context->Mount(MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NODEV);
        auto target = OpenDir(dir_);
        if (!mount || !target)
          return "mount";
        if (auto attached = AttachMount(mount->get(), target->get()); !attached)
          return Problem(attached);
        struct statvfs fs{};
        struct stat status{};
        if (statvfs(dir_.c_str(), &fs) < 0 || stat(dir_.c_str(), &status) < 0)
          return "stat";
        if ((fs.f_flag & (ST_NOEXEC | ST_NODEV)) != (ST_NOEXEC | ST_NODEV))
          return "flags";
        if ((status.st_mode & 0777) != 0711)
          return "mode";
        return fs.f_blocks * fs.f_frsize == 65536 ? "" : "size";
      }),
      "");
}

TEST_F(Mount, ErrorsCarryTheKernelsExplanation) {
  auto context = FsContext::Open("tmpfs");
  ASSERT_TRUE(context);
  auto bad = context->SetOption("colour=blue");
  ASSERT_FALSE(bad);
  EXPECT_NE(bad.error().message().find("tmpfs option colour=blue"), std::string::npos);
  EXPECT_NE(bad.error().message().find("Unknown parameter 'colour'"), std::string::npos)
      << bad.error().message();
  auto unknown = FsContext::Open("nosuchfs");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code(), Errc::kUnsupported);
}

TEST_F(Mount, ReadOnlyBindOnOldAndNewKernels) {
  for (bool old : {false, true}) {
    PretendOldMountApi(old);
    EXPECT_EQ(
        Isolated([&]() -> std::string {
          if (!MakeDirs(dir_ + "/from", 0755) || !MakeDirs(dir_ + "/to", 0755))
            return "mkdir";
          auto from = Open(dir_ + "/from", O_PATH);
          auto to = Open(dir_ + "/to", O_PATH);
          auto tree = CloneTree(from->get(), "", Recursive::kNo);
          if (!tree)
            return Problem(tree);
          MountAttributes attributes;
          attributes.set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID;
          if (!old) {
            if (auto set = SetMountAttributes(tree->get(), attributes, Recursive::kNo); !set)
              return Problem(set);
          }
          if (auto attached = AttachMount(tree->get(), to->get()); !attached)
            return Problem(attached);
          if (old) {
            auto proc = OpenDir("/proc");
            if (auto set = SetMountAttributes(tree->get(), attributes, Recursive::kNo, proc->get());
                !set)
              return Problem(set);
          }
          struct statvfs fs{};
          if (statvfs((dir_ + "/to").c_str(), &fs) < 0)
            return "statvfs";
          if ((fs.f_flag & (ST_RDONLY | ST_NOSUID)) != (ST_RDONLY | ST_NOSUID))
            return "flags";
          return mkdir((dir_ + "/to/x").c_str(), 0755) < 0 && errno == EROFS ? "" : "writable";
        }),
        "")
        << old;
  }
}

TEST_F(Mount, RecursiveAttributesOnOldAndNewKernels) {
  for (bool old : {false, true}) {
    PretendOldMountApi(old);
    EXPECT_EQ(Isolated([&]() -> std::string {
                std::string from = dir_ + "/a b";  // a name that mountinfo escapes
                for (const char* name : {"", "/one", "/one/two"}) {
                  if (!MakeDirs(from + name, 0755))
                    return "mkdir";
                  if (mount("tmpfs", (from + name).c_str(), "tmpfs", 0, nullptr) < 0)
                    return "mount";
                }
                if (!MakeDirs(from + "/one/two", 0755) || !MakeDirs(dir_ + "/t o", 0755))
                  return "mkdir";
                auto top = Open(from, O_PATH);
                auto to = Open(dir_ + "/t o", O_PATH);
                auto tree = CloneTree(top->get(), "", Recursive::kYes);
                if (!tree)
                  return Problem(tree);
                if (auto attached = AttachMount(tree->get(), to->get()); !attached)
                  return Problem(attached);
                MountAttributes attributes;
                attributes.set = MOUNT_ATTR_RDONLY;
                attributes.propagation = MS_PRIVATE;
                auto proc = OpenDir("/proc");
                auto set =
                    SetMountAttributes(tree->get(), attributes, Recursive::kYes, proc->get());
                if (!set)
                  return Problem(set);
                for (const char* name : {"/x", "/one/x", "/one/two/x"}) {
                  if (mkdir((dir_ + "/t o" + name).c_str(), 0755) == 0 || errno != EROFS)
                    return Cat(name, " is writable");
                }
                return mkdir((from + "/one/x").c_str(), 0755) == 0 ? "" : "the source changed";
              }),
              "")
        << old;
  }
}

TEST_F(Mount, OverlayOnOldAndNewKernels) {
  for (bool old : {false, true}) {
    PretendOldMountApi(old);
    EXPECT_EQ(Isolated([&]() -> std::string {
                for (const char* name : {"a", "b", "u", "w", "m"}) {
                  if (!MakeDirs(Cat(dir_, "/", name), 0755))
                    return "mkdir";
                }
                (void)ReplaceFile(dir_ + "/a/f", "top", 0644, Durability::kVolatile);
                (void)ReplaceFile(dir_ + "/b/f", "bottom", 0644, Durability::kVolatile);
                auto target = Open(dir_ + "/m", O_PATH);
                auto root =
                    MountOverlay({{dir_ + "/a", dir_ + "/b"}, {}, dir_ + "/u", dir_ + "/w", true},
                                 target->get());
                if (!root)
                  return Problem(root);
                auto content = ReadFileAt(root->get(), "f");
                if (!content || *content != "top")
                  return "content";
                if (!ReplaceFile(dir_ + "/m/new", "n", 0644, Durability::kVolatile))
                  return "write";
                return PathExists(dir_ + "/u/new") ? "" : "upper";
              }),
              "")
        << old;
  }
}

TEST_F(Mount, OverlayRefusesNonsense) {
  auto target = Open(dir_, O_PATH);
  EXPECT_FALSE(MountOverlay({{}, {}, "", "", false}, target->get()));
  EXPECT_FALSE(MountOverlay({{"/"}, {}, "", "", false}, target->get()));
  auto missing = MountOverlay({{dir_ + "/no"}, {}, dir_, dir_, false}, target->get());
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code(), Errc::kNotFound);
}

TEST_F(Mount, PivotLeavesNothingOfTheHost) {
  EXPECT_EQ(Isolated([&]() -> std::string {
              auto target = Open(dir_, O_PATH);
              auto context = FsContext::Open("tmpfs");
              auto root = context->Mount(0);
              if (!root || !AttachMount(root->get(), target->get()))
                return "mount";
              if (auto pivoted = PivotRoot(root->get()); !pivoted)
                return Problem(pivoted);
              auto names = ListDir("/");
              if (!names || !names->empty())
                return "not empty";
              return PathExists("/../tmp") ? "the host is above" : "";
            }),
            "");
}

}  // namespace
}  // namespace wherry::sys
