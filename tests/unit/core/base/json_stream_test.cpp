#include "core/base/json_stream.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "core/base/json.h"
#include "core/base/text.h"

namespace wherry {
namespace {

class Pieces final : public ByteSource {
 public:
  Pieces(std::string_view text, size_t step) : text_(text), step_(step) {}
  Result<size_t> Read(std::span<std::byte> out) override {
    size_t count = std::min({out.size(), step_, text_.size()});
    memcpy(out.data(), text_.data(), count);
    text_.remove_prefix(count);
    return count;
  }

 private:
  std::string_view text_;
  size_t step_;
};

// "{ k:name s:text n:1 l:true }": what comes, or "!" and the code of the error.
std::string Tokens(std::string_view text, size_t max_string = 100, size_t step = 3) {
  using Token = JsonStream::Token;
  Pieces source(text, step);
  JsonStream json(source, max_string);
  std::string out;
  for (;;) {
    auto token = json.Next();
    if (!token)
      return Cat(out, "! ", ErrcName(token.error().code()));
    switch (*token) {
      case Token::kObject:
        out += "{ ";
        break;
      case Token::kArray:
        out += "[ ";
        break;
      case Token::kEnd:
        out += "} ";
        break;
      case Token::kKey:
        Append(out, "k:", json.text(), " ");
        break;
      case Token::kString:
        Append(out, "s:", json.text(), json.cut() ? "... " : " ");
        break;
      case Token::kNumber:
        Append(out, "n:", json.text(), " ");
        break;
      case Token::kLiteral:
        Append(out, "l:", json.text(), " ");
        break;
      case Token::kDone:
        return out;
    }
  }
}

TEST(JsonStream, Tokens) {
  EXPECT_EQ(Tokens(R"( {"a" : [1,-2.5e3, "x"],"b":{} ,"c":null,"d":[[],true]} )"),
            "{ k:a [ n:1 n:-2.5e3 s:x } k:b { } k:c l:null k:d [ [ } l:true } } ");
  EXPECT_EQ(Tokens("{\"a\":1}\n{\"a\":2}\n"), "{ k:a n:1 } { k:a n:2 } ");
  EXPECT_EQ(Tokens(""), "");
}

TEST(JsonStream, Strings) {
  EXPECT_EQ(Tokens(R"("\"\\\/\b\f\n\r\t")"), "s:\"\\/\b\f\n\r\t ");
  EXPECT_EQ(Tokens(R"("\u0041\u00e9\u20AC\ud83d\ude00")"), "s:A\u00e9\u20ac\U0001f600 ");
  EXPECT_EQ(Tokens(R"("\ud83dx")"), "! invalid");
  EXPECT_EQ(Tokens(R"("\udc00")"), "s:\ufffd ");
  EXPECT_EQ(Tokens(R"(["abcdef","ab"])", 3), "[ s:abc... s:ab } ");
}

TEST(JsonStream, Malformed) {
  for (std::string_view text : {"{",
                                "[",
                                "{]",
                                "[}",
                                "{1:2}",
                                "{\"a\"}",
                                "{\"a\":}",
                                "{\"a\":1,}",
                                "[1,]",
                                "[,1]",
                                "[1 2]",
                                "\"a",
                                "\"\x01\"",
                                "\"\\x\"",
                                "\"\\u12g4\"",
                                "tru",
                                "nulll",
                                "}",
                                "]",
                                ",",
                                "{\"a\":1 \"b\":2}",
                                "111111111111111111111111111111111111111111"}) {
    std::string tokens = Tokens(text);
    EXPECT_TRUE(tokens.ends_with("! invalid")) << text << " -> " << tokens;
  }
  EXPECT_EQ(Tokens(std::string(32, '[') + std::string(32, ']')).find('!'), std::string::npos);
  EXPECT_NE(Tokens(std::string(33, '[') + std::string(33, ']')).find('!'), std::string::npos);
}

TEST(JsonStream, ValuesCanBeSkipped) {
  for (std::string_view value :
       {"1", "\"long text\"", "null", "[]", "[1,{\"x\":[2]}]", "{\"y\":{}}"}) {
    std::string text = Cat("{\"a\":", value, ",\"b\":7}");
    Pieces source(text, 2);
    JsonStream json(source, 4);
    ASSERT_TRUE(json.Next());
    ASSERT_EQ(*json.Next(), JsonStream::Token::kKey);
    ASSERT_TRUE(json.SkipValue()) << value;
    ASSERT_EQ(*json.Next(), JsonStream::Token::kKey) << value;
    EXPECT_EQ(json.text(), "b");
  }
}

// What is accepted in one piece is accepted in others, and nothing that is cut off is.
TEST(JsonStream, PiecesDoNotMatter) {
  std::string text = R"({"entries":[{"name":"\u00e9x","size":12},{"t":[true,null]}],"v":-1})";
  std::string all = Tokens(text, 100, 1000);
  for (size_t step = 1; step < 20; ++step)
    EXPECT_EQ(Tokens(text, 100, step), all);
  for (size_t size = 1; size < text.size(); ++size)
    EXPECT_TRUE(Tokens(text.substr(0, size)).ends_with("! invalid")) << size;
}

}  // namespace
}  // namespace wherry
