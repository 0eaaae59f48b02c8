#include "core/oci/document.h"

#include "core/base/text.h"

namespace wherry::oci {

namespace {

// A parsed value takes some 80 bytes; real documents have a few hundred.
constexpr size_t kMaxValues = 50'000;

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
