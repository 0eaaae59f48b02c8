// BuildKit's own test cases: Dockerfiles with what its parser makes of them, and tables of words
// with variables. They are read from WHERRY_DOCKERFILE_DATA or from beside the repository.
#include <dirent.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "core/base/file.h"
#include "core/base/text.h"
#include "engine/build/dockerfile.h"
#include "engine/build/word.h"

namespace wherry::build {
namespace {

std::string DataPath() {
  if (const char* path = getenv("WHERRY_DOCKERFILE_DATA"))
    return path;
  std::string_view root = WHERRY_TESTDATA;
  root.remove_suffix(std::string_view("/tests/data").size());
  return Cat(root, "/../shared/data/dockerfile-parser");
}

std::vector<std::string> Directories(const std::string& path) {
  std::vector<std::string> names;
  DIR* dir = opendir(path.c_str());
  while (const dirent* entry = dir != nullptr ? readdir(dir) : nullptr) {
    if (entry->d_name[0] != '.' && entry->d_type == DT_DIR)
      names.emplace_back(entry->d_name);
  }
  if (dir != nullptr)
    closedir(dir);
  std::sort(names.begin(), names.end());
  return names;
}

// Go's strconv.Quote.
std::string Quote(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    constexpr std::string_view kControls = "\a\b\f\n\r\t\v\\\"";
    size_t control = kControls.find(c);
    if (c == '\0')
      out += "\\x00";
    else if (control != std::string_view::npos)
      Append(out, '\\', "abfnrtv\\\""[control]);
    else
      out.push_back(c);
  }
  return out + "\"";
}

std::string Dump(const Statement& statement) {
  std::string out = ToLower(KeywordName(statement.keyword));
  if (!statement.flags.empty()) {
    std::string flags;
    for (const std::string& flag : statement.flags)
      Append(flags, flags.empty() ? "" : " ", Quote(flag));
    Append(out, " [", flags, "]");
  }
  for (const Statement& trigger : statement.trigger)
    Append(out, " (", Dump(trigger), ")");
  for (const std::string& word : statement.words)
    Append(out, " ", Quote(word));
  return out;
}

std::string ReadText(const std::string& path) {
  auto text = ReadFile(path, 1 << 20);
  EXPECT_TRUE(text) << path;
  return text ? *text : std::string();
}

TEST(BuildkitData, Dockerfiles) {
  auto names = Directories(DataPath());
  if (names.empty())
    GTEST_SKIP() << "no BuildKit data at " << DataPath() << "; set WHERRY_DOCKERFILE_DATA";
  EXPECT_GE(names.size(), 30u);
  for (const std::string& name : names) {
    SCOPED_TRACE(name);
    auto dockerfile = ParseDockerfile(ReadText(Cat(DataPath(), "/", name, "/Dockerfile")));
    ASSERT_TRUE(dockerfile) << dockerfile.error().message();
    std::string dump;
    for (const Statement& statement : dockerfile->statements)
      Append(dump, "(", Dump(statement), ")\n");
    EXPECT_EQ(Trim(dump), Trim(ReadText(Cat(DataPath(), "/", name, "/result"))));
  }
}

TEST(BuildkitData, Variables) {
  std::string path = DataPath() + "/envVarTest";
  auto text = ReadFile(path, 1 << 20);
  if (!text)
    GTEST_SKIP() << "no BuildKit data at " << path << "; set WHERRY_DOCKERFILE_DATA";
  Variables variables;
  variables.Set("PWD", "/home");
  variables.Set("SHELL", "bash");
  variables.Set("KOREAN", "한국어");
  variables.Set("NULL", "");
  int cases = 0;
  for (std::string_view line : Split(*text, '\n')) {
    line = Trim(line);
    auto parts = Split(line, '|');
    if (line.empty() || line[0] == '#' || Trim(parts[0]) == "W")
      continue;
    ASSERT_EQ(parts.size(), 3u) << line;
    auto word = ExpandWord(Trim(parts[1]), variables, {});
    EXPECT_EQ(word ? *word : "error", Trim(parts[2])) << line;
    ++cases;
  }
  EXPECT_GT(cases, 200);
}

TEST(BuildkitData, Words) {
  std::string path = DataPath() + "/wordsTest";
  auto text = ReadFile(path, 1 << 20);
  if (!text)
    GTEST_SKIP() << "no BuildKit data at " << path << "; set WHERRY_DOCKERFILE_DATA";
  Variables variables;
  for (std::string_view line : Split(*text, '\n')) {
    if (line.empty() || line[0] == '#')
      continue;
    if (line.starts_with("ENV ")) {
      auto pair = SplitFirst(line.substr(4), '=');
      ASSERT_TRUE(pair) << line;
      variables.Set(pair->head, pair->tail);
      continue;
    }
    auto parts = SplitFirst(line, '|');
    ASSERT_TRUE(parts) << line;
    auto words = ExpandWords(Trim(parts->head), variables, {});
    std::string_view wanted = parts->tail;
    while (wanted.starts_with(' '))
      wanted.remove_prefix(1);
    EXPECT_EQ(words ? Join(*words, ",") : "error", wanted) << line;
  }
}

}  // namespace
}  // namespace wherry::build
