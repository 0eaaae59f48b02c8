// JSON read token by token from a stream: for documents of any size, in memory bounded by the
// nesting and by one string. Also several documents one after the other, as in JSON lines.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/byte_source.h"
#include "core/base/result.h"

namespace wherry {

class JsonStream {
 public:
  enum class Token : uint8_t {
    kObject,   // '{'
    kArray,    // '['
    kEnd,      // of the innermost object or array
    kKey,      // text(); its value follows
    kString,   // text()
    kNumber,   // text(), as written
    kLiteral,  // text(): true, false, null
    kDone,     // the source has ended after a whole document
  };

  // `source` must outlive this. Longer strings than `max_string` are cut off, see cut().
  JsonStream(ByteSource& source, size_t max_string);

  // kInvalid for what is not JSON, for nesting deeper than 32 and for a source that ends within a
  // document; the source's own errors.
  Result<Token> Next();
  // Passes over the value that follows a key, whatever it is.
  Result<> SkipValue();

  std::string_view text() const { return text_; }
  // The string was longer than what text() has of it.
  bool cut() const { return cut_; }

 private:
  enum class Expect : uint8_t { kFirst, kValue, kMore };

  Result<int> Peek();  // -1: the end
  Result<int> PeekPastSpace();
  Result<int> Take();
  Result<Token> Value();
  Result<Token> Key();
  Result<Token> Close();
  Result<> String();
  Result<> Escape();
  Result<uint32_t> Hex4();
  Result<> Word(bool number);
  void Put(char c);
  void PutUtf8(uint32_t code);

  ByteSource& source_;
  const size_t max_string_;
  std::string buffer_;
  size_t begin_ = 0;
  size_t end_ = 0;
  bool ended_ = false;
  std::string open_;  // '{' or '[' for each level
  Expect expect_ = Expect::kFirst;
  std::string text_;
  bool cut_ = false;
};

}  // namespace wherry
