// The same archives unpacked by the store and by GNU tar must give the same trees: real files of
// this machine and a tree of oddities, in the formats that GNU tar writes.
#include <dirent.h>
#include <gtest/gtest.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include <map>

#include "core/base/digest.h"
#include "core/base/text.h"
#include "tests/unit/store/lay_out.h"

namespace wherry::store {
namespace {

class FileSource final : public ByteSource {
 public:
  explicit FileSource(const std::string& path) : fd_(*Open(path, O_RDONLY)) {}
  Result<size_t> Read(std::span<std::byte> out) override {
    ssize_t count = read(fd_.get(), out.data(), out.size());
    return count < 0 ? Result<size_t>(FailSys("read")) : Result<size_t>(static_cast<size_t>(count));
  }

 private:
  UniqueFd fd_;
};

std::string HashFile(const std::string& path) {
  FileSource source(path);
  Hasher hasher;
  std::vector<std::byte> buffer(1 << 16);
  while (size_t count = *source.Read(buffer)) {
    hasher.Update(std::span<const std::byte>(buffer.data(), count));
  }
  return hasher.Finish().hex();
}

std::string Xattrs(const std::string& path) {
  char names[4096];
  ssize_t length = llistxattr(path.c_str(), names, sizeof(names));
  std::map<std::string, std::string> sorted;
  for (ssize_t at = 0; at < length; at += static_cast<ssize_t>(strlen(names + at)) + 1) {
    char value[4096];
    ssize_t size = lgetxattr(path.c_str(), names + at, value, sizeof(value));
    sorted[names + at] = HexEncode(std::span(reinterpret_cast<uint8_t*>(value),
                                             static_cast<size_t>(std::max<ssize_t>(size, 0))));
  }
  std::string out;
  for (const auto& [name, value] : sorted) {
    Append(out, " ", name, "=", value);
  }
  return out;
}

// Path -> everything that matters about it. Files with several names are told apart by the first
// name that was met.
void Describe(const std::string& root, const std::string& path,
              std::map<std::string, std::string>& out,
              std::map<std::pair<dev_t, ino_t>, std::string>& links) {
  std::string full = root + path;
  struct stat info{};
  ASSERT_EQ(lstat(full.c_str(), &info), 0) << full;
  std::string& text = out[path];
  Append(text, "mode ", info.st_mode, " owner ", info.st_uid, ":", info.st_gid, " time ",
         info.st_mtim.tv_sec, ".", info.st_mtim.tv_nsec, Xattrs(full));
  if (S_ISLNK(info.st_mode)) {
    char target[4096];
    ssize_t length = readlink(full.c_str(), target, sizeof(target));
    Append(text, " -> ", std::string_view(target, static_cast<size_t>(length)));
  }
  if (S_ISCHR(info.st_mode) || S_ISBLK(info.st_mode)) {
    Append(text, " device ", major(info.st_rdev), ":", minor(info.st_rdev));
  }
  if (S_ISREG(info.st_mode)) {
    Append(
        text, " size ", info.st_size, " links ", info.st_nlink, " first ",
        links.emplace(std::pair(info.st_dev, info.st_ino), path).first->second, " ",
        info.st_size < (64 << 20) ? HashFile(full) : Cat("sparse ", info.st_blocks < 1000 ? 1 : 0));
  }
  if (S_ISDIR(info.st_mode)) {
    auto names = ListDir(full);
    ASSERT_TRUE(names);
    std::sort(names->begin(), names->end());
    for (const std::string& name : *names) {
      Describe(root, path + "/" + name, out, links);
    }
  }
}

class DifferentialTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override { SKIP_UNLESS_ROOT(); }

  void Shell(const std::string& command) { ASSERT_EQ(system(command.c_str()), 0) << command; }

  // `sources`: arguments of tar after the archive's name.
  void Compare(const std::string& sources) {
    std::string tar = temp_ / "a.tar";
    std::string base = temp_.path();
    // Only the POSIX format has room for attributes.
    const char* attributes = GetParam() == std::string_view("posix") ? " --xattrs --acls" : "";
    // Exit 1: a file changed while it was read.
    int made = system(Cat("tar --format=", GetParam(), " --sparse", attributes, " -cf ", tar, " ",
                          sources, " 2>/dev/null")
                          .c_str());
    ASSERT_LE(WEXITSTATUS(made), 1);
    Shell(Cat("rm -rf ", base, "/gnu && mkdir ", base, "/gnu && tar -C ", base, "/gnu -xpf ", tar,
              " --numeric-owner --same-owner --xattrs --xattrs-include='*' 2>/dev/null"));
    FileSource source(tar);
    IngestProgress progress;
    auto info = LayOut().Run({.source = &source, .diff_id = *Digest::ParseHex(HashFile(tar))},
                             {.reserve_bytes = 0}, progress, temp_ / "own");
    ASSERT_TRUE(info) << info.error().message();
    std::map<std::string, std::string> gnu;
    std::map<std::string, std::string> own;
    std::map<std::pair<dev_t, ino_t>, std::string> gnu_links;
    std::map<std::pair<dev_t, ino_t>, std::string> own_links;
    Describe(temp_ / "gnu", "", gnu, gnu_links);
    Describe(temp_ / "own", "", own, own_links);
    for (const char* path : without_entry_) {  // made by each in its own way
      gnu.erase(path);
      own.erase(path);
    }
    EXPECT_GT(own.size(), 10u);
    EXPECT_EQ(gnu.size(), own.size());
    int shown = 0;
    for (const auto& [path, text] : gnu) {
      auto other = own.find(path);
      if ((other == own.end() || other->second != text) && shown++ < 10) {
        ADD_FAILURE() << path << "\n  tar:    " << text
                      << "\n  wherry: " << (other == own.end() ? "absent" : other->second);
      }
    }
    ASSERT_TRUE(RemoveTree(temp_ / "own"));
  }

  std::vector<const char*> without_entry_;
  TempDir temp_;
};

TEST_P(DifferentialTest, RealFiles) {
  without_entry_ = {"", "/var", "/var/lib"};
  Compare(GetParam() == std::string_view("posix") ? "-C / etc var/lib/dpkg" : "-C / etc");
}

TEST_P(DifferentialTest, Oddities) {
  std::string in = temp_ / "in";
  Shell(Cat("mkdir -p ", in, "/d/e/f && cd ", in, R"sh( &&
    echo content > file && ln file d/hard && ln file d/e/hard2 && ln -s ../file d/soft &&
    ln -s /absolute/nowhere dangling && ln d/soft d/hard-to-soft &&
    mknod char c 1 3 && mknod big b 259 1000000 && mkfifo fifo && chmod 2755 d && chmod 1777 d/e &&
    touch -d '1969-12-31 23:59:58.25 UTC' before-epoch &&
    touch -d '2200-01-01 00:00:00.123456789 UTC' late &&
    chown 4000000000:3000000000 late && chown -h 12:34 d/soft && chmod 4711 file &&
    truncate -s 100M hole && printf x | dd of=hole bs=1 seek=70000000 conv=notrunc 2>/dev/null &&
    truncate -s 1M fragments &&
    for i in $(seq 1 60); do
      printf y | dd of=fragments bs=1 seek=$((i * 16384)) conv=notrunc 2>/dev/null
    done &&
    n=$(printf 'n%.0s' $(seq 1 200)) && mkdir -p $n/$n/$n && echo long > $n/$n/$n/$n &&
    ln -s $n/$n/$n/$n $n/link && ln $n/$n/$n/$n $n/$n/hardlong &&
    printf 'odd' > "$(printf 'tab\there\nnewline \377')" && : > empty &&
    head -c 512 /dev/zero > zeros && touch -d @1000000000 d/e/f && touch -d @1000000001 d)sh"));
  ASSERT_EQ(setxattr((in + "/file").c_str(), "user.key", "v\0w", 3, 0), 0);
  ASSERT_EQ(setxattr((in + "/d").c_str(), "user.dir", "x", 1, 0), 0);
  constexpr char kCapability[] =
      "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00";
  ASSERT_EQ(setxattr((in + "/zeros").c_str(), "security.capability", kCapability, 20, 0), 0);
  Compare(Cat("-C ", in, " ."));
}

INSTANTIATE_TEST_SUITE_P(Formats, DifferentialTest, testing::Values("gnu", "posix"),
                         [](const auto& param) { return std::string(param.param); });

}  // namespace
}  // namespace wherry::store
