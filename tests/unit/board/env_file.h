// U-Boot's environment in a file, and Debian's tools (libubootenv) to look at it.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdio.h>
#include <unistd.h>
#include <zlib.h>

#include <cstring>
#include <string>

#include "core/base/file.h"
#include "core/base/text.h"
#include "tests/unit/temp_dir.h"

namespace wherry::board {

// One copy as U-Boot lays it out; flags below 0: of a single one.
inline std::string EnvCopy(std::string data, size_t size, int flags) {
  data.resize(size - (flags < 0 ? 4 : 5));
  auto sum = static_cast<uint32_t>(
      crc32(0, reinterpret_cast<const Bytef*>(data.data()), static_cast<uInt>(data.size())));
  std::string copy(reinterpret_cast<const char*>(&sum), sizeof sum);
  if (flags >= 0)
    copy += static_cast<char>(flags);
  return copy + data;
}

// "A=1\nB=2\n" -> "A=1\0B=2\0"
inline std::string EnvData(std::string text) {
  for (char& c : text) {
    if (c == '\n')
      c = '\0';
  }
  return text;
}

class EnvFile {
 public:
  static constexpr size_t kSize = 0x2000;

  // Both copies of `text`, the first the newer one.
  explicit EnvFile(const std::string& text) {
    SetCopies(EnvCopy(EnvData(text), kSize, 2), EnvCopy(EnvData(text), kSize, 1));
    Configure(Cat("# two copies\n", image(), " 0x0 0x2000\n", image(), "\t8192 2000 0x200 1\n"));
  }

  std::string image() const { return dir_ / "env"; }
  std::string config() const { return dir_ / "fw_env.config"; }

  void SetCopies(const std::string& first, const std::string& second) {
    EXPECT_TRUE(ReplaceFile(image(), first + second, 0600, Durability::kVolatile));
  }
  void Configure(const std::string& text) {
    EXPECT_TRUE(ReplaceFile(config(), text, 0600, Durability::kVolatile));
  }
  std::string Bytes() const { return ReadFile(image()).value(); }
  // Damages the data of a copy.
  void Flip(size_t at) {
    std::string bytes = Bytes();
    bytes[at] = static_cast<char>(bytes[at] ^ 1);
    EXPECT_TRUE(ReplaceFile(image(), bytes, 0600, Durability::kVolatile));
  }

  // Output of Debian's fw_printenv, sorted by it.
  std::string Printed() const { return Run(Cat("fw_printenv -c ", config())); }
  void Set(std::string_view name, std::string_view value) const {
    Run(Cat("fw_setenv -c ", config(), " ", name, " ", value));
  }

 private:
  static std::string Run(const std::string& command) {
    FILE* pipe = popen((command + " 2>&1").c_str(), "r");
    std::string text;
    for (int c = fgetc(pipe); c != EOF; c = fgetc(pipe))
      text += static_cast<char>(c);
    EXPECT_EQ(pclose(pipe), 0) << command << ": " << text;
    return text;
  }

  TempDir dir_;
};

}  // namespace wherry::board
