#include "store/checkpoint.h"

#include <algorithm>
#include <array>

#include "store/bytes.h"

namespace wherry::store {

namespace {

constexpr std::string_view kMagic = "wherryC1";

void PutDigest(std::string& out, const Digest& digest) {
  out.append(reinterpret_cast<const char*>(digest.bytes().data()), Digest::kSize);
}

Digest TakeDigest(BytesReader& reader) {
  std::array<uint8_t, Digest::kSize> bytes{};
  std::string_view taken = reader.Take(bytes.size());
  std::copy(taken.begin(), taken.end(), bytes.begin());
  return Digest(bytes);
}

std::string Encode(const Checkpoint& from) {
  std::string out;
  PutDigest(out, from.layer.diff_id);
  PutDigest(out, from.layer.blob);
  PutVar(out, from.layer.blob_size);
  out.push_back(static_cast<char>(from.point.compression));
  PutVar(out, from.point.input);
  PutVar(out, from.point.output);
  out.push_back(static_cast<char>(from.point.bits));
  out.push_back(static_cast<char>(from.point.bits_value));
  PutText(out, from.point.window);
  PutVar(out, from.blob.bytes);
  PutText(out, from.blob.state);
  PutDigest(out, from.prefix);
  PutVar(out, from.split_bytes);
  PutVar(out, from.objects);
  PutVar(out, from.file_bytes);
  PutDigest(out, from.twin);
  return out;
}

}  // namespace

// What follows in the file is left of a longer one.
std::string EncodeCheckpoint(const Checkpoint& checkpoint) {
  std::string body = Encode(checkpoint);
  std::string out(kMagic);
  PutInt(out, static_cast<uint32_t>(body.size()));
  out += body;
  PutDigest(out, Digest::Of(out));
  return out;
}

Result<Checkpoint> DecodeCheckpoint(std::string_view bytes, const LayerIdentity& layer) {
  BytesReader file(bytes);
  std::string_view magic = file.Take(kMagic.size());
  auto size = file.Int<uint32_t>();
  BytesReader body(file.Take(size));
  size_t sum_at = bytes.size() - file.left();
  Digest sum = TakeDigest(file);
  if (!file.ok() || magic != kMagic || sum != Digest::Of(bytes.substr(0, sum_at)))
    return Fail(Errc::kCorrupt, "the checkpoint is damaged");
  Checkpoint to;
  to.layer.diff_id = TakeDigest(body);
  to.layer.blob = TakeDigest(body);
  to.layer.blob_size = body.Var();
  to.point.compression = static_cast<Compression>(body.Int<uint8_t>());
  to.point.input = body.Var();
  to.point.output = body.Var();
  to.point.bits = body.Int<uint8_t>();
  to.point.bits_value = body.Int<uint8_t>();
  to.point.window = body.Text();
  to.blob.bytes = body.Var();
  to.blob.state = body.Text();
  to.prefix = TakeDigest(body);
  to.split_bytes = body.Var();
  to.objects = body.Var();
  to.file_bytes = body.Var();
  to.twin = TakeDigest(body);
  if (!body.ok() || to.layer != layer)
    return Fail(Errc::kCorrupt, "the checkpoint belongs to another layer");
  bool fits =
      to.point.input <= layer.blob_size && to.blob.bytes <= to.point.input &&
      (to.point.output <= to.split_bytes || to.point.output - to.split_bytes <= to.file_bytes);
  if (!fits)
    return Fail(Errc::kCorrupt, "the checkpoint contradicts itself");
  return to;
}

}  // namespace wherry::store
