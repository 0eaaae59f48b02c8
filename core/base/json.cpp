#include "core/base/json.h"

#include <cJSON.h>

#include <climits>
#include <cmath>

#include "core/base/json_number.h"
#include "core/base/text.h"

namespace wherry {

namespace {

constexpr int kMaxDepth = 128;

struct Problem {
  size_t position;
  std::string_view reason;
};

// What cJSON would let pass: too deep nesting, control characters in strings, and \u0000, which
// would cut a string short.
std::optional<Problem> FindProblem(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    auto byte = static_cast<unsigned char>(text[i]);
    if (in_string) {
      if (byte < 0x20) {
        return Problem{i, "a control character in a string"};
      }
      if (byte == '\\' && text.substr(i).starts_with("\\u0000")) {
        return Problem{i, "a NUL character in a string"};
      }
      i += byte == '\\' ? 1 : 0;
      in_string = byte != '"';
      continue;
    }
    in_string = byte == '"';
    if ((byte == '[' || byte == '{') && ++depth > kMaxDepth) {
      return Problem{i, "nested too deep"};
    }
    depth -= byte == ']' || byte == '}' ? 1 : 0;
    if (byte < 0x20 && byte != '\n' && byte != '\r' && byte != '\t') {
      return Problem{i, "a control character"};
    }
  }
  return std::nullopt;
}

std::unexpected<Error> Malformed(std::string_view what, size_t position, std::string_view reason) {
  return Fail(Errc::kInvalid, Cat(what, " is not valid JSON: ", reason, " at byte ", position));
}

// Length of the valid UTF-8 sequence at the front of `text`, 0 when there is none (RFC 3629: no
// surrogates, no overlong forms).
size_t Utf8Length(std::string_view text) {
  auto at = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  auto continues = [&](size_t i) { return (at(i) & 0xc0) == 0x80; };
  unsigned lead = at(0);
  if (lead < 0x80) {
    return 1;
  }
  if (lead >= 0xc2 && lead < 0xe0) {
    return continues(1) ? 2 : 0;
  }
  if (lead >= 0xe0 && lead < 0xf0) {
    bool range = lead == 0xe0 ? at(1) >= 0xa0 : lead != 0xed || at(1) < 0xa0;
    return range && continues(1) && continues(2) ? 3 : 0;
  }
  if (lead >= 0xf0 && lead < 0xf5) {
    bool range = lead == 0xf0 ? at(1) >= 0x90 : lead != 0xf4 || at(1) < 0x90;
    return range && continues(1) && continues(2) && continues(3) ? 4 : 0;
  }
  return 0;
}

void AppendEscape(std::string& out, unsigned char byte) {
  constexpr char kHex[] = "0123456789abcdef";
  constexpr std::string_view kControls = "\b\f\n\r\t\"\\";
  constexpr std::string_view kLetters = "bfnrt\"\\";
  size_t at = kControls.find(static_cast<char>(byte));
  if (at != std::string_view::npos) {
    Append(out, '\\', kLetters[at]);
  } else {
    Append(out, "\\u00", kHex[byte >> 4], kHex[byte & 15]);
  }
}

void AppendNumber(std::string& out, double number) {
  constexpr double kExact = 9007199254740992.0;  // 2^53
  if (number >= -kExact && number <= kExact && std::floor(number) == number) {
    Append(out, static_cast<int64_t>(number));
    return;
  }
  if (!std::isfinite(number)) {
    out += "null";
    return;
  }
  out += FormatNumber(number);
}

const cJSON* FindMember(const cJSON* object, std::string_view key) {
  if (!cJSON_IsObject(object)) {
    return nullptr;
  }
  const cJSON* exact = nullptr;
  const cJSON* folded = nullptr;
  for (const cJSON* member = object->child; member != nullptr; member = member->next) {
    if (key == member->string) {
      exact = member;
    } else if (EqualsIgnoreCase(key, member->string)) {
      folded = member;
    }
  }
  return exact != nullptr ? exact : folded;
}

}  // namespace

bool JsonValue::IsNull() const {
  return cJSON_IsNull(node_) != 0;
}

bool JsonValue::IsObject() const {
  return cJSON_IsObject(node_) != 0;
}

bool JsonValue::IsArray() const {
  return cJSON_IsArray(node_) != 0;
}

bool JsonValue::IsString() const {
  return cJSON_IsString(node_) != 0;
}

bool JsonValue::IsNumber() const {
  return cJSON_IsNumber(node_) != 0;
}

bool JsonValue::IsBool() const {
  return cJSON_IsBool(node_) != 0;
}

JsonValue JsonValue::operator[](std::string_view key) const {
  return JsonValue(FindMember(node_, key));
}

size_t JsonValue::size() const {
  size_t count = 0;
  for (auto it = begin(); it != end(); ++it) {
    ++count;
  }
  return count;
}

JsonValue JsonValue::at(size_t index) const {
  for (JsonValue value : *this) {
    if (index-- == 0) {
      return value;
    }
  }
  return {};
}

std::string_view JsonValue::key() const {
  return node_ != nullptr && node_->string != nullptr ? node_->string : std::string_view();
}

std::string_view JsonValue::str(std::string_view fallback) const {
  return IsString() ? node_->valuestring : fallback;
}

int64_t JsonValue::integer(int64_t fallback) const {
  if (!IsNumber() || std::isnan(node_->valuedouble)) {
    return fallback;
  }
  constexpr double kLimit = 9223372036854775808.0;  // 2^63
  double number = node_->valuedouble;
  if (number >= kLimit) {
    return INT64_MAX;
  }
  return number < -kLimit ? INT64_MIN : static_cast<int64_t>(number);
}

bool JsonValue::boolean(bool fallback) const {
  return IsBool() ? cJSON_IsTrue(node_) != 0 : fallback;
}

std::vector<std::string> JsonValue::strings() const {
  std::vector<std::string> out;
  if (IsArray()) {
    for (JsonValue value : *this) {
      if (value.IsString()) {
        out.emplace_back(value.str());
      }
    }
  }
  return out;
}

JsonValue::Iterator& JsonValue::Iterator::operator++() {
  node_ = node_->next;
  return *this;
}

JsonValue::Iterator JsonValue::begin() const {
  return Iterator(IsObject() || IsArray() ? node_->child : nullptr);
}

std::string JsonValue::Dump() const {
  return JsonWriter().Value(*this).Take();
}

Result<JsonDocument> JsonDocument::Parse(std::string_view text, std::string_view what) {
  if (std::optional<Problem> problem = FindProblem(text)) {
    return Malformed(what, problem->position, problem->reason);
  }
  const char* end = text.data();
  // The document owns the tree from here on, whatever follows.
  JsonDocument document(cJSON_ParseWithLengthOpts(text.data(), text.size(), &end, 0));
  std::string_view rest = text.substr(static_cast<size_t>(end - text.data()));
  if (document.root_ == nullptr || !Trim(rest).empty()) {
    return Malformed(what, text.size() - rest.size(),
                     Trim(text).empty() ? "no content" : "unexpected text");
  }
  return document;
}

JsonDocument::JsonDocument(JsonDocument&& other) noexcept
    : root_(std::exchange(other.root_, nullptr)) {}

JsonDocument& JsonDocument::operator=(JsonDocument&& other) noexcept {
  std::swap(root_, other.root_);
  return *this;
}

JsonDocument::~JsonDocument() {
  cJSON_Delete(root_);
}

void JsonWriter::Separate() {
  if (need_comma_) {
    out_ += ',';
  }
  need_comma_ = true;
}

JsonWriter& JsonWriter::Object() {
  Separate();
  out_ += '{';
  closers_.push_back('}');
  need_comma_ = false;
  return *this;
}

JsonWriter& JsonWriter::Array() {
  Separate();
  out_ += '[';
  closers_.push_back(']');
  need_comma_ = false;
  return *this;
}

JsonWriter& JsonWriter::End() {
  out_ += closers_.back();
  closers_.pop_back();
  need_comma_ = true;
  return *this;
}

JsonWriter& JsonWriter::Key(std::string_view key) {
  Separate();
  AppendJsonString(out_, key);
  out_ += ':';
  need_comma_ = false;
  return *this;
}

JsonWriter& JsonWriter::String(std::string_view value) {
  Separate();
  AppendJsonString(out_, value);
  return *this;
}

JsonWriter& JsonWriter::Int(int64_t value) {
  Separate();
  Append(out_, value);
  return *this;
}

JsonWriter& JsonWriter::Uint(uint64_t value) {
  Separate();
  Append(out_, value);
  return *this;
}

JsonWriter& JsonWriter::Bool(bool value) {
  return Raw(value ? "true" : "false");
}

JsonWriter& JsonWriter::Null() {
  return Raw("null");
}

JsonWriter& JsonWriter::Raw(std::string_view json) {
  Separate();
  out_ += json;
  return *this;
}

// Recursion is bounded: JsonDocument refuses deep nesting.
JsonWriter& JsonWriter::Value(JsonValue value) {
  if (value.IsString()) {
    return String(value.str());
  }
  if (value.IsBool()) {
    return Bool(value.boolean());
  }
  if (value.IsNumber()) {
    Separate();
    AppendNumber(out_, value.node()->valuedouble);
    return *this;
  }
  if (!value.IsObject() && !value.IsArray()) {
    return Null();
  }
  value.IsObject() ? Object() : Array();
  for (JsonValue item : value) {
    if (value.IsObject()) {
      Key(item.key());
    }
    Value(item);
  }
  return End();
}

JsonWriter& JsonWriter::Strings(const std::vector<std::string>& values) {
  Array();
  for (const std::string& value : values) {
    String(value);
  }
  return End();
}

std::string JsonWriter::Take() {
  need_comma_ = false;
  return std::exchange(out_, {});
}

void AppendJsonString(std::string& out, std::string_view text) {
  out += '"';
  size_t plain = 0;  // start of what can be copied as it is
  for (size_t i = 0; i < text.size();) {
    auto byte = static_cast<unsigned char>(text[i]);
    size_t length = Utf8Length(text.substr(i));
    if (length > 0 && byte >= 0x20 && byte != '"' && byte != '\\') {
      i += length;
      continue;
    }
    out += text.substr(plain, i - plain);
    if (length == 0) {
      out += "\xEF\xBF\xBD";
    } else {
      AppendEscape(out, byte);
    }
    plain = ++i;
  }
  out += text.substr(plain);
  out += '"';
}

}  // namespace wherry
