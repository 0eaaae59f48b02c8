// A ByteSource that another thread reads ahead, so that what produces the bytes and what consumes
// them keep two processors busy.
#pragma once

#include <array>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "core/base/byte_source.h"

namespace wherry {

class ReadAhead final : public ByteSource {
 public:
  // `inner` belongs to the other thread until Stop() or the destructor has returned, and must
  // outlive this. At most 256 KiB wait to be taken.
  // `idle`, called by Read when nothing has come for two seconds, once until something comes.
  explicit ReadAhead(ByteSource& inner, std::function<void()> idle = {});
  // Ends the reading; waits for a Read of `inner` that is under way.
  ~ReadAhead() override { Stop(); }
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  // Errors and the end come in their place, after all bytes before them.
  Result<size_t> Read(std::span<std::byte> out) override;
  void Stop();

 private:
  static constexpr size_t kBlockBytes = size_t{64} << 10;
  static constexpr size_t kBlocks = 4;
  struct Block {
    std::vector<std::byte> bytes = std::vector<std::byte>(kBlockBytes);
    size_t used = 0;
  };

  void Run();
  // Fills a block as far as `inner` goes; false after the end or an error.
  bool Fill(Block& block, Result<>& outcome);
  // Until there is a block to take; false at the end.
  Result<bool> Await();

  ByteSource& inner_;
  const std::function<void()> idle_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::array<Block, kBlocks> blocks_;  // those from taken_ to filled_ belong to the reader
  size_t filled_ = 0;                  // blocks ever filled
  size_t taken_ = 0;                   // and ever emptied
  std::optional<Result<>> outcome_;    // set when nothing more will be filled
  bool stop_ = false;
  size_t position_ = 0;  // in the block that is being taken
  std::thread thread_;
};

}  // namespace wherry
