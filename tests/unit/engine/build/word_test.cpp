#include "engine/build/word.h"

#include <gtest/gtest.h>

#include "core/base/text.h"

namespace wherry::build {
namespace {

Variables Some() {
  Variables variables;
  variables.Set("x", "value");
  variables.Set("empty", "");
  variables.Set("two", "a b");
  variables.Set("file", "/a/b.tar.gz");
  return variables;
}

std::string Word(std::string_view text, WordRules rules = {}) {
  auto word = ExpandWord(text, Some(), rules);
  return word ? *word : "error: " + word.error().message();
}

std::string Words(std::string_view text, WordRules rules = {}) {
  auto words = ExpandWords(text, Some(), rules);
  return words ? Join(*words, "|") : "error: " + words.error().message();
}

TEST(Word, Operators) {
  constexpr std::string_view kCases[][2] = {
      {"$x.", "value."},
      {"${x}y", "valuey"},
      {"[$none]", "[]"},
      {"${none:-d} ${empty:-d} ${x:-d}", "d d value"},
      {"${none-d} ${empty-d} ${x-d}", "d  value"},
      {"[${none:+a}] [${empty:+a}] [${x:+a}]", "[] [] [a]"},
      {"[${none+a}] [${empty+a}] [${x+a}]", "[] [a] [a]"},
      {"${x:?e} ${x?e} [${empty?e}]", "value value []"},
      {"${file#*/} ${file##*/}", "a/b.tar.gz b.tar.gz"},
      {"${file%.*} ${file%%.*}", "/a/b.tar /a/b"},
      {"${file/./-} ${file//./-}", "/a/b-tar.gz /a/b-tar-gz"},
      {"${file//\\//:}", ":a:b.tar.gz"},
      {"[${none/a/b}${none#a}${none%%a}]", "[]"},
      {"${none:-${empty:-${x}}}", "value"},
      {"${file%.${none:-gz}}", "/a/b.tar"},
      {"${x:-}", "value"},
  };
  for (const auto& [text, wanted] : kCases)
    EXPECT_EQ(Word(text), wanted) << text;
}

TEST(Word, Quotes) {
  EXPECT_EQ(Word("'$x' \"$x\" \\$x"), "$x value $x");
  EXPECT_EQ(Word("\"a\\\"b\\c\" 'a\\b'"), "a\"b\\c a\\b");
  EXPECT_EQ(Word("`$x\\y", {.escape = '`'}), "$x\\y");
  EXPECT_EQ(Word("\"$x\" '$x'", {.plain_quotes = true}), "\"value\" 'value'");
  EXPECT_EQ(Word("\\$x\\\\", {.plain_quotes = true}), "$x\\");
  EXPECT_EQ(Word("a  b"), "a  b");
}

TEST(Word, KeepsWhatIsAsked) {
  EXPECT_EQ(Word("'a' \"b\"", {.keep_quotes = true}), "'a' \"b\"");
  EXPECT_EQ(Word("\\a \"\\\"\"", {.keep_quotes = true, .keep_escapes = true}), "\\a \"\\\"\"");
  EXPECT_EQ(Word("$none ${none} ${none:-a} ${none/b/c} $x", {.keep_unset = true}),
            "$none ${none} ${none:-a} ${none/b/c} value");
}

TEST(Word, SplitsWords) {
  EXPECT_EQ(Words("  a  $two\tb "), "a|a|b|b");
  EXPECT_EQ(Words("\"$two\" x\"y z\"w"), "a b|xy zw");
  EXPECT_EQ(Words("pre${none:-mid}post a"), "premidpost|a");
  EXPECT_EQ(Words("cat <<  EOF >x"), "cat|<<  EOF|>x");
}

TEST(Word, Errors) {
  EXPECT_EQ(Word("a${x"), "error: failed to process \"a${x\": syntax error: missing '}'");
  EXPECT_EQ(Word("${}"), "error: failed to process \"${}\": syntax error: bad substitution");
  EXPECT_EQ(Word("${x=1}"),
            "error: failed to process \"${x=1}\": unsupported modifier (=) in substitution");
  EXPECT_EQ(Word("${x:%1}"),
            "error: failed to process \"${x:%1}\": unsupported modifier (:%) in substitution");
  EXPECT_EQ(Word("${none:?give $x}"),
            "error: failed to process \"${none:?give $x}\": none: give value");
  EXPECT_EQ(Word("${none?}"),
            "error: failed to process \"${none?}\": none: is not allowed to be unset");
  EXPECT_EQ(Word("${empty:?}"),
            "error: failed to process \"${empty:?}\": empty: is not allowed to be empty");
  EXPECT_EQ(Word("${x//a}"),
            "error: failed to process \"${x//a}\": syntax error: missing '/' in ${}");
  EXPECT_EQ(Word("'a"),
            "error: failed to process \"'a\": unexpected end of statement while looking for "
            "matching single-quote");
  EXPECT_EQ(Word("\"a"),
            "error: failed to process \"\\\"a\": unexpected end of statement while looking for "
            "matching double-quote");
}

TEST(Word, NestingIsBounded) {
  std::string deep;
  for (int i = 0; i < kMaxNesting; ++i)
    deep += "${none:-";
  EXPECT_EQ(Word(deep + "x" + std::string(kMaxNesting, '}')), "x");
  deep = "${none:-" + deep + "x" + std::string(kMaxNesting + 1, '}');
  EXPECT_NE(Word(deep).find("nested deeper than 50"), std::string::npos);
}

TEST(Word, GrowthIsBounded) {
  Variables variables;
  variables.Set("big", std::string(kMaxExpandedBytes / 2, 'x'));
  EXPECT_TRUE(ExpandWord("$big$big", variables, {}));
  auto word = ExpandWord("$big$big$big", variables, {});
  ASSERT_FALSE(word);
  EXPECT_NE(word.error().message().find("add more than 1048576 bytes"), std::string::npos);
}

}  // namespace
}  // namespace wherry::build
