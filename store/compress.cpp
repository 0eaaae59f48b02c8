#include "store/compress.h"

#include <zlib.h>

#include <algorithm>
#include <array>

namespace wherry::store {

namespace {

constexpr int kLevel = 6;
constexpr int kWindowBits = 15 + 16;  // a gzip header, without name and time
constexpr int kMemory = 8;
constexpr size_t kInput = size_t{32} << 10;

class CompressingSource final : public ByteSource {
 public:
  explicit CompressingSource(ByteSource& inner) : inner_(inner) {}
  ~CompressingSource() override { deflateEnd(&stream_); }
  CompressingSource(const CompressingSource&) = delete;
  CompressingSource& operator=(const CompressingSource&) = delete;

  Result<> Init() {
    if (deflateInit2(&stream_, kLevel, Z_DEFLATED, kWindowBits, kMemory, Z_DEFAULT_STRATEGY) !=
        Z_OK)
      return Fail(Errc::kNoSpace, "out of memory for compression");
    return {};
  }

  Result<size_t> Read(std::span<std::byte> out) override {
    size_t room = std::min(out.size(), kInput);
    stream_.next_out = reinterpret_cast<Bytef*>(out.data());
    stream_.avail_out = static_cast<uInt>(room);
    while (stream_.avail_out == room && !done_) {
      if (stream_.avail_in == 0 && !input_ended_) {
        size_t count = TRY(inner_.Read(std::as_writable_bytes(std::span(input_))));
        input_ended_ = count == 0;
        stream_.next_in = input_.data();
        stream_.avail_in = static_cast<uInt>(count);
      }
      done_ = deflate(&stream_, input_ended_ ? Z_FINISH : Z_NO_FLUSH) == Z_STREAM_END;
    }
    return room - stream_.avail_out;
  }

 private:
  ByteSource& inner_;
  z_stream stream_{};
  std::array<Bytef, kInput> input_;
  bool input_ended_ = false;
  bool done_ = false;
};

}  // namespace

Result<std::unique_ptr<ByteSource>> Compress(ByteSource& inner) {
  auto source = std::make_unique<CompressingSource>(inner);
  TRY(source->Init());
  return source;
}

}  // namespace wherry::store
