// Makes tar archives byte by byte for tests, hostile ones included, and byte sources out of
// strings.
#pragma once

#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/byte_source.h"

namespace wherry::store {

// Gives out a string in pieces of at most `step` bytes; then the end or `final_error`.
class StringSource final : public ByteSource {
 public:
  explicit StringSource(std::string bytes, size_t step = 1 << 20)
      : bytes_(std::move(bytes)), step_(step) {}
  void FailAtEnd(Errc code) { fail_ = code; }
  bool touched() const { return touched_; }

  Result<size_t> Read(std::span<std::byte> out) override {
    touched_ = true;
    size_t count = std::min({out.size(), step_, bytes_.size() - position_});
    if (count == 0 && fail_) {
      return Fail(*fail_, "the connection was cut");
    }
    memcpy(out.data(), bytes_.data() + position_, count);
    position_ += count;
    return count;
  }

 private:
  std::string bytes_;
  size_t step_;
  size_t position_ = 0;
  bool touched_ = false;
  std::optional<Errc> fail_;
};

inline Result<std::string> ReadToEnd(ByteSource& source) {
  std::string all;
  std::byte buffer[5000];
  for (;;) {
    auto count = source.Read(buffer);
    if (!count) {
      return std::unexpected(std::move(count).error());
    }
    if (*count == 0) {
      return all;
    }
    all.append(reinterpret_cast<const char*>(buffer), *count);
  }
}

class TarBuilder {
 public:
  struct Header {
    std::string name;
    char type = '0';
    std::string link = {};
    uint32_t mode = 0644;
    uint64_t uid = 0;
    uint64_t gid = 0;
    uint64_t size = 0;
    int64_t mtime = 1000;
    uint32_t major = 0;
    uint32_t minor = 0;
    std::string prefix = {};
  };

  static std::string Block(const Header& h) {
    std::string block(512, '\0');
    auto put = [&](size_t offset, size_t size, std::string_view text) {
      memcpy(block.data() + offset, text.data(), std::min(size, text.size()));
    };
    auto octal = [&](size_t offset, int digits, uint64_t value) {
      char text[32];
      snprintf(text, sizeof(text), "%0*llo", digits, static_cast<unsigned long long>(value));
      put(offset, static_cast<size_t>(digits), text);
    };
    put(0, 100, h.name);
    octal(100, 7, h.mode);
    octal(108, 7, h.uid);
    octal(116, 7, h.gid);
    octal(124, 11, h.size);
    octal(136, 11, static_cast<uint64_t>(h.mtime));
    block[156] = h.type;
    put(157, 100, h.link);
    put(257, 8, std::string_view("ustar\00000", 8));
    octal(329, 7, h.major);
    octal(337, 7, h.minor);
    put(345, 155, h.prefix);
    Seal(block);
    return block;
  }

  // Sets the checksum.
  static void Seal(std::string& block) {
    memset(block.data() + 148, ' ', 8);
    unsigned sum = 0;
    for (unsigned char c : block) {
      sum += c;
    }
    char text[16];
    snprintf(text, sizeof(text), "%06o", sum);
    memcpy(block.data() + 148, text, 7);
  }

  static std::string Padded(std::string data) {
    data.resize((data.size() + 511) / 512 * 512);
    return data;
  }

  TarBuilder& Raw(std::string_view bytes) {
    out_ += bytes;
    return *this;
  }
  TarBuilder& Entry(Header header, std::string_view data = {}) {
    header.size = header.size != 0 ? header.size : data.size();
    return Raw(Block(header)).Raw(Padded(std::string(data)));
  }
  TarBuilder& File(const std::string& name, std::string_view data, uint32_t mode = 0644) {
    return Entry({.name = name, .mode = mode}, data);
  }
  TarBuilder& Dir(const std::string& name, uint32_t mode = 0755, int64_t mtime = 1000) {
    return Entry({.name = name, .type = '5', .mode = mode, .mtime = mtime});
  }
  TarBuilder& Symlink(const std::string& name, const std::string& target) {
    return Entry({.name = name, .type = '2', .link = target, .mode = 0777});
  }
  TarBuilder& Hardlink(const std::string& name, const std::string& target) {
    return Entry({.name = name, .type = '1', .link = target});
  }
  TarBuilder& Pax(const std::vector<std::pair<std::string, std::string>>& records,
                  char type = 'x') {
    std::string body;
    for (const auto& [key, value] : records) {
      body += PaxRecord(key, value);
    }
    return Entry({.name = "PaxHeaders/x", .type = type}, body);
  }
  static std::string PaxRecord(const std::string& key, const std::string& value) {
    size_t rest = key.size() + value.size() + 3;
    size_t length = rest + std::to_string(rest).size();
    length = rest + std::to_string(length).size();
    return std::to_string(length) + " " + key + "=" + value + "\n";
  }
  std::string Done() const { return out_ + std::string(1024, '\0'); }
  const std::string& Unfinished() const { return out_; }

 private:
  std::string out_;
};

}  // namespace wherry::store
