#include "cli/stream.h"

#include <unistd.h>

#include <algorithm>
#include <array>

#include "core/base/file.h"
#include "core/base/text.h"

namespace wherry::cli {

namespace {

constexpr size_t kBuffer = 32 << 10;
constexpr size_t kHeader = 8;
constexpr size_t kMaxLine = 1 << 20;

std::string_view View(const std::array<std::byte, kBuffer>& buffer, size_t count) {
  return {static_cast<const char*>(static_cast<const void*>(buffer.data())), count};
}

}  // namespace

Demultiplexer::Demultiplexer()
    : sink_([](int fd, std::string_view bytes) { return WriteAll(fd, bytes, "output"); }) {}

Result<> Demultiplexer::Feed(std::string_view bytes) {
  while (!bytes.empty()) {
    if (left_ == 0) {
      size_t take = std::min(kHeader - header_.size(), bytes.size());
      header_.append(bytes.substr(0, take));
      bytes.remove_prefix(take);
      if (header_.size() < kHeader)
        return {};
      auto byte = [this](size_t i) {
        return static_cast<uint32_t>(static_cast<unsigned char>(header_[i]));
      };
      if (byte(0) > 2)
        return Fail(Errc::kInvalid,
                    Cat("the daemon sent a stream frame of unknown kind ", byte(0)));
      target_ = byte(0) == 2 ? STDERR_FILENO : STDOUT_FILENO;
      left_ = byte(4) << 24 | byte(5) << 16 | byte(6) << 8 | byte(7);
      header_.clear();
      continue;
    }
    size_t take = std::min<size_t>(left_, bytes.size());
    TRY(sink_(target_, bytes.substr(0, take)));
    bytes.remove_prefix(take);
    left_ -= static_cast<uint32_t>(take);
  }
  return {};
}

Result<> CopyOutput(ByteSource& source, Framing framing) {
  std::array<std::byte, kBuffer> buffer;
  Demultiplexer demultiplexer;
  for (;;) {
    size_t count = TRY(source.Read(buffer));
    if (count == 0)
      return {};
    if (framing == Framing::kMultiplexed) {
      TRY(demultiplexer.Feed(View(buffer, count)));
    } else {
      TRY(WriteAll(STDOUT_FILENO, View(buffer, count), "output"));
    }
  }
}

Result<> ForEachLine(ByteSource& source,
                     const std::move_only_function<Result<>(std::string_view) const>& line) {
  std::array<std::byte, kBuffer> buffer;
  std::string pending;
  for (;;) {
    size_t count = TRY(source.Read(buffer));
    if (count == 0)
      break;
    pending.append(View(buffer, count));
    if (pending.size() > kMaxLine)
      return Fail(Errc::kInvalid, "the daemon sent a line of more than 1 MiB");
    size_t start = 0;
    for (size_t end; (end = pending.find('\n', start)) != std::string::npos; start = end + 1) {
      std::string_view text = Trim(std::string_view(pending).substr(start, end - start));
      if (!text.empty())
        TRY(line(text));
    }
    pending.erase(0, start);
  }
  std::string_view rest = Trim(pending);
  return rest.empty() ? Result<>() : line(rest);
}

}  // namespace wherry::cli
