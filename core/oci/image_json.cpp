#include "core/oci/image_json.h"

#include "core/base/text.h"

namespace wherry::oci {

namespace {

constexpr size_t kMaxValues =
    50'000;  // a parsed value takes some 80 bytes; real documents have a few hundred
constexpr int64_t kMaxBlobBytes = int64_t{1} << 50;

// A bound of the number of values in a JSON text, without parsing it.
bool HasTooManyValues(std::string_view json) {
  size_t count = 0;
  bool in_string = false;
  for (size_t i = 0; i < json.size(); ++i) {
    char c = json[i];
    if (in_string) {
      if (c == '\\')
        ++i;
      in_string = c != '"';
    } else if (c == '"') {
      in_string = true;
    } else if (c == ',' || c == '[' || c == '{') {
      ++count;
    }
  }
  return count > kMaxValues;
}

}  // namespace

std::string Shown(std::string_view text) {
  constexpr size_t kMost = 100;
  std::string shown(text.substr(0, kMost));
  for (char& c : shown) {
    if (c <= ' ' || c >= 0x7f)
      c = '?';
  }
  return shown;
}

Result<Descriptor> ParseDescriptor(JsonValue value, std::string_view what) {
  if (!value.IsObject())
    return Fail(Errc::kInvalid, Cat(what, " is missing or not an object"));
  Descriptor descriptor;
  descriptor.media_type = value["mediaType"].str();
  descriptor.digest = TRY_CTX(what, Digest::Parse(value["digest"].str()));
  int64_t size = value["size"].integer(-1);
  if (!value["size"].IsNumber() || size < 0 || size > kMaxBlobBytes) {
    return Fail(Errc::kInvalid, Cat(what, ": size is missing or out of range"));
  }
  descriptor.size = static_cast<uint64_t>(size);
  return descriptor;
}

Result<JsonDocument> ParseDocument(std::string_view json, std::string_view what, size_t limit,
                                   Root root) {
  if (json.size() > limit)
    return Fail(Errc::kInvalid, Cat(what, " is larger than ", limit, " bytes"));
  if (HasTooManyValues(json))
    return Fail(Errc::kInvalid, Cat(what, " has more than ", kMaxValues, " values"));
  auto document = TRY(JsonDocument::Parse(json, what));
  bool wanted = root == Root::kArray ? document.root().IsArray() : document.root().IsObject();
  if (!wanted)
    return Fail(Errc::kInvalid,
                Cat(what, " is not a JSON ", root == Root::kArray ? "list" : "object"));
  return document;
}

}  // namespace wherry::oci
