#include "engine/container_names.h"

#include <gtest/gtest.h>

#include <set>

namespace wherry::engine {
namespace {

TEST(ValidateName, TakesDockersNames) {
  for (std::string_view name : {"web", "web-1", "a_b.c", "0x", "/web"}) {
    auto valid = ValidateName(name);
    ASSERT_TRUE(valid) << name;
    EXPECT_NE(valid->front(), '/');
  }
}

TEST(ValidateName, RefusesEverythingElse) {
  for (std::string_view name : {"", "/", "a", "-web", "_web", ".web", "a b", "a/b", "web\n",
                                "w\xc3\xa9"
                                "b",
                                "//web"}) {
    auto valid = ValidateName(name);
    ASSERT_FALSE(valid) << name;
    EXPECT_EQ(valid.error().code(), Errc::kInvalid);
  }
  EXPECT_FALSE(ValidateName(std::string(256, 'a')));
}

TEST(RandomName, IsValidAndVaries) {
  std::set<std::string> names;
  for (int i = 0; i < 50; ++i) {
    std::string name = RandomName(0);
    EXPECT_TRUE(ValidateName(name)) << name;
    EXPECT_NE(name.find('_'), std::string::npos);
    names.insert(name);
  }
  EXPECT_GT(names.size(), 30U);
  std::string later = RandomName(1);
  EXPECT_TRUE(later.back() >= '0' && later.back() <= '9');
}

}  // namespace
}  // namespace wherry::engine
