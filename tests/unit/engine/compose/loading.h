// Loading compose files from texts in the tests.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "engine/compose/load.h"

namespace wherry::compose {

struct Given {
  std::vector<std::string> texts;
  Environment environment = {};
  std::map<std::string, std::string> files = {};  // for env_file
  std::string name = "shop";
};

inline Result<Loaded> LoadGiven(const Given& given) {
  Sources sources;
  for (size_t i = 0; i < given.texts.size(); ++i) {
    std::string name = i == 0 ? "compose.yaml" : Cat("more", i, ".yaml");
    sources.files.push_back({name, Cat("/srv/shop/", name), given.texts[i]});
  }
  sources.directory = "/srv/shop";
  sources.name = given.name;
  sources.environment = given.environment;
  sources.read_file = [&given](const std::string& path) -> Result<std::string> {
    auto found = given.files.find(path);
    if (found == given.files.end())
      return Fail(Errc::kNotFound, Cat("open(", path, "): No such file or directory"));
    return found->second;
  };
  return Load(sources);
}

inline Group GroupOf(const std::string& text) {
  auto loaded = LoadGiven({.texts = {text}});
  EXPECT_TRUE(loaded) << loaded.error().message();
  return loaded ? std::move(loaded->group) : Group();
}

// The message of the error; "" when there is none.
inline std::string ProblemOf(const std::string& text) {
  auto loaded = LoadGiven({.texts = {text}});
  return loaded ? std::string() : loaded.error().message();
}

}  // namespace wherry::compose
