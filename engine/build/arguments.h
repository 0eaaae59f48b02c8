// How the text behind an instruction's name becomes its arguments. Internal to the parser.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "engine/build/dockerfile.h"

namespace wherry::build {

// Takes the words that begin with "--" from the front of `rest`, without their quotes; "--" alone
// ends them.
std::vector<std::string> TakeFlags(std::string_view& rest, char escape);

// `rest` is trimmed. The words go to statement.words.
Result<> SplitText(std::string_view rest, char escape, Statement& statement);
Result<> SplitWords(std::string_view rest, char escape, Statement& statement);
Result<> SplitQuotedWords(std::string_view rest, char escape, Statement& statement);
Result<> SplitPairs(std::string_view rest, char escape, Statement& statement);
Result<> SplitJsonOrText(std::string_view rest, char escape, Statement& statement);
Result<> SplitJsonOrWords(std::string_view rest, char escape, Statement& statement);
Result<> SplitHealthcheck(std::string_view rest, char escape, Statement& statement);

}  // namespace wherry::build
