#include "core/base/json_stream.h"

#include <algorithm>

#include "core/base/text.h"

namespace wherry {

namespace {

constexpr size_t kBuffer = size_t{16} << 10;
constexpr size_t kMaxDepth = 32;
constexpr size_t kMaxWord = 32;  // of a number

std::unexpected<Error> Malformed() {
  return Fail(Errc::kInvalid, "the JSON text is malformed");
}

bool IsSpace(int c) {
  return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

bool IsNumberPart(int c) {
  return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
}

}  // namespace

JsonStream::JsonStream(ByteSource& source, size_t max_string)
    : source_(source), max_string_(max_string), buffer_(kBuffer, '\0') {}

Result<int> JsonStream::Peek() {
  if (begin_ == end_ && !ended_) {
    begin_ = 0;
    end_ = TRY(source_.Read(std::as_writable_bytes(std::span(buffer_))));
    ended_ = end_ == 0;
  }
  return begin_ == end_ ? -1 : static_cast<uint8_t>(buffer_[begin_]);
}

Result<int> JsonStream::PeekPastSpace() {
  for (;;) {
    int c = TRY(Peek());
    if (!IsSpace(c))
      return c;
    ++begin_;
  }
}

Result<int> JsonStream::Take() {
  int c = TRY(Peek());
  if (c < 0)
    return Fail(Errc::kInvalid, "the JSON text ends too early");
  ++begin_;
  return c;
}

Result<JsonStream::Token> JsonStream::Next() {
  int c = TRY(PeekPastSpace());
  if (open_.empty())
    return c < 0 ? Result<Token>(Token::kDone) : Value();
  bool object = open_.back() == '{';
  if (expect_ == Expect::kValue)
    return Value();
  if (c == (object ? '}' : ']'))
    return Close();
  if (expect_ == Expect::kMore) {
    if (c != ',')
      return Malformed();
    ++begin_;
    c = TRY(PeekPastSpace());
  }
  if (!object)
    return Value();
  return c == '"' ? Key() : Malformed();
}

Result<> JsonStream::SkipValue() {
  size_t depth = open_.size();
  do {
    if (TRY(Next()) == Token::kDone)
      return Malformed();
  } while (open_.size() > depth || expect_ == Expect::kValue);
  return {};
}

Result<JsonStream::Token> JsonStream::Close() {
  ++begin_;
  open_.pop_back();
  expect_ = Expect::kMore;
  return Token::kEnd;
}

Result<JsonStream::Token> JsonStream::Key() {
  TRY(String());
  if (TRY(PeekPastSpace()) != ':')
    return Malformed();
  ++begin_;
  expect_ = Expect::kValue;
  return Token::kKey;
}

Result<JsonStream::Token> JsonStream::Value() {
  int c = TRY(PeekPastSpace());
  if (c == '{' || c == '[') {
    if (open_.size() == kMaxDepth)
      return Fail(Errc::kInvalid, "the JSON text is nested too deeply");
    ++begin_;
    open_.push_back(static_cast<char>(c));
    expect_ = Expect::kFirst;
    return c == '{' ? Token::kObject : Token::kArray;
  }
  Token token = Token::kString;
  if (c == '"') {
    TRY(String());
  } else {
    bool number = c == '-' || (c >= '0' && c <= '9');
    TRY(Word(number));
    token = number ? Token::kNumber : Token::kLiteral;
  }
  expect_ = Expect::kMore;
  return token;
}

Result<> JsonStream::Word(bool number) {
  text_.clear();
  cut_ = false;
  for (;;) {
    int c = TRY(Peek());
    if (number ? !IsNumberPart(c) : (c < 'a' || c > 'z'))
      break;
    if (text_.size() == kMaxWord)
      return Malformed();
    text_.push_back(static_cast<char>(c));
    ++begin_;
  }
  if (number || text_ == "true" || text_ == "false" || text_ == "null")
    return {};
  return Malformed();
}

void JsonStream::Put(char c) {
  if (text_.size() < max_string_)
    text_.push_back(c);
  else
    cut_ = true;
}

void JsonStream::PutUtf8(uint32_t code) {
  auto tail = [&](unsigned shift) { Put(static_cast<char>(0x80 | (code >> shift & 0x3f))); };
  if (code < 0x80)
    return Put(static_cast<char>(code));
  if (code < 0x800) {
    Put(static_cast<char>(0xc0 | code >> 6));
  } else if (code < 0x10000) {
    Put(static_cast<char>(0xe0 | code >> 12));
    tail(6);
  } else {
    Put(static_cast<char>(0xf0 | code >> 18));
    tail(12);
    tail(6);
  }
  tail(0);
}

Result<> JsonStream::String() {
  text_.clear();
  cut_ = false;
  ++begin_;
  for (;;) {
    int c = TRY(Take());
    if (c == '"')
      return {};
    if (c == '\\')
      TRY(Escape());
    else if (c < ' ')
      return Malformed();
    else
      Put(static_cast<char>(c));
  }
}

Result<uint32_t> JsonStream::Hex4() {
  uint32_t code = 0;
  for (int i = 0; i < 4; ++i) {
    int c = TRY(Take());
    int digit = c >= '0' && c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
    if (digit < 0 || digit > 15 || (digit > 9 && (c | 0x20) < 'a'))
      return Malformed();
    code = code << 4 | static_cast<uint32_t>(digit);
  }
  return code;
}

Result<> JsonStream::Escape() {
  constexpr std::string_view kFrom = "\"\\/bfnrt";
  constexpr std::string_view kTo = "\"\\/\b\f\n\r\t";
  constexpr uint32_t kReplacement = 0xfffd;
  int c = TRY(Take());
  if (c != 'u') {
    size_t which = kFrom.find(static_cast<char>(c));
    if (which == std::string_view::npos)
      return Malformed();
    Put(kTo[which]);
    return {};
  }
  uint32_t code = TRY(Hex4());
  if (code >= 0xd800 && code < 0xdc00) {
    if (TRY(Take()) != '\\' || TRY(Take()) != 'u')
      return Malformed();
    uint32_t low = TRY(Hex4());
    bool pair = low >= 0xdc00 && low < 0xe000;
    code = pair ? 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00) : kReplacement;
  } else if (code >= 0xdc00 && code < 0xe000) {
    code = kReplacement;
  }
  PutUtf8(code);
  return {};
}

}  // namespace wherry
