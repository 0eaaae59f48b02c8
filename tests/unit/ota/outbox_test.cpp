#include "ota/outbox.h"

#include <gtest/gtest.h>

#include "core/base/file.h"
#include "core/base/text.h"
#include "tests/unit/temp_dir.h"

namespace wherry::ota {
namespace {

OutboxEvent Event(uint64_t source, bool last = false) {
  OutboxEvent event;
  event.source = source;
  event.last = last;
  event.topic = "dep/d1";
  event.payload = Cat(R"({"st":")", source, R"("})");
  return event;
}

std::vector<uint64_t> Numbers(const Outbox& outbox, uint64_t after = 0) {
  std::vector<uint64_t> numbers;
  for (const OutboxEvent& event : outbox.After(after))
    numbers.push_back(event.number);
  return numbers;
}

using Expected = std::vector<uint64_t>;

TEST(OutboxTest, KeepsOrderAndNumbersOverRestarts) {
  TempDir dir;
  {
    auto outbox = Outbox::Open(dir / "outbox").value();
    for (uint64_t source : {4, 5, 6})
      ASSERT_TRUE(outbox->Add(Event(source)));
    EXPECT_EQ(Numbers(*outbox), (Expected{1, 2, 3}));
    EXPECT_EQ(outbox->After(0)[0].payload, R"({"n":1,"st":"4"})");
    ASSERT_TRUE(outbox->Remove(1));
  }
  auto outbox = Outbox::Open(dir / "outbox").value();
  // Until nothing is left what was told is told again after a restart; its number says so.
  EXPECT_EQ(Numbers(*outbox), (Expected{1, 2, 3}));
  EXPECT_EQ(Numbers(*outbox, 2), (Expected{3}));
  ASSERT_TRUE(outbox->Remove(3));
  EXPECT_EQ(Numbers(*outbox), Expected{});
  outbox = Outbox::Open(dir / "outbox").value();
  ASSERT_TRUE(outbox->Add(Event(7)));
  EXPECT_EQ(Numbers(*outbox), (Expected{4}));
}

TEST(OutboxTest, SameSourceIsAddedOnce) {
  TempDir dir;
  auto outbox = Outbox::Open(dir / "outbox").value();
  ASSERT_TRUE(outbox->Add(Event(5)));
  ASSERT_TRUE(outbox->Add(Event(5)));
  ASSERT_TRUE(outbox->Remove(1));
  outbox = Outbox::Open(dir / "outbox").value();
  ASSERT_TRUE(outbox->Add(Event(5)));
  EXPECT_EQ(Numbers(*outbox), Expected{});
  // Those of no report have no source to be known by.
  ASSERT_TRUE(outbox->Add(Event(0)));
  ASSERT_TRUE(outbox->Add(Event(0)));
  EXPECT_EQ(Numbers(*outbox), (Expected{2, 3}));
  // The updater's numbers begin anew when its record was lost.
  ASSERT_TRUE(outbox->Add(Event(1)));
  EXPECT_EQ(Numbers(*outbox), (Expected{2, 3, 4}));
}

TEST(OutboxTest, NothingIsWrittenBeforeTheFirstEvent) {
  TempDir dir;
  auto outbox = Outbox::Open(dir / "ota/outbox").value();
  ASSERT_TRUE(outbox->Remove(3));
  EXPECT_FALSE(PathExists(dir / "ota"));
  ASSERT_TRUE(outbox->Add(Event(1)));
  EXPECT_EQ(Numbers(*Outbox::Open(dir / "ota/outbox").value()), Expected{1});
}

// What comes after a damaged line is found again.
TEST(OutboxTest, EventsAfterATornLineStay) {
  TempDir dir;
  std::string path = dir / "outbox";
  ASSERT_TRUE(Outbox::Open(path).value()->Add(Event(1)));
  std::string whole = ReadFile(path).value();
  for (std::string_view torn : {"01234567", "0123456789abcdef {}\n"}) {
    ASSERT_TRUE(ReplaceFile(path, Cat(whole, torn), 0600, Durability::kVolatile));
    ASSERT_TRUE(Outbox::Open(path).value()->Add(Event(2)));
    EXPECT_EQ(Numbers(*Outbox::Open(path).value()), (Expected{1, 2})) << torn;
  }
}

// A file that cannot be written costs nothing that is still in memory.
TEST(OutboxTest, WhatCouldNotBeWrittenIsWrittenLater) {
  TempDir dir;
  auto outbox = Outbox::Open(dir / "ota/outbox").value();
  ASSERT_TRUE(ReplaceFile(dir / "ota", "in the way", 0600, Durability::kVolatile));
  EXPECT_FALSE(outbox->Add(Event(1)));
  EXPECT_EQ(Numbers(*outbox), Expected{1});
  ASSERT_TRUE(RemoveTree(dir / "ota"));
  ASSERT_TRUE(outbox->Add(Event(2)));
  EXPECT_EQ(Numbers(*Outbox::Open(dir / "ota/outbox").value()), (Expected{1, 2}));
}

TEST(OutboxTest, EndsOfUpdatesStay) {
  TempDir dir;
  auto outbox = Outbox::Open(dir / "outbox").value();
  for (uint64_t source = 1; source <= 3; ++source)
    ASSERT_TRUE(outbox->Add(Event(source, true)));
  for (uint64_t source = 4; source <= 2 * Outbox::kMaxEvents; ++source)
    ASSERT_TRUE(outbox->Add(Event(source)));
  Expected numbers = Numbers(*outbox);
  EXPECT_EQ(numbers.size(), Outbox::kMaxEvents);
  EXPECT_EQ(Expected(numbers.begin(), numbers.begin() + 3), (Expected{1, 2, 3}));
  EXPECT_EQ(numbers.back(), 2 * Outbox::kMaxEvents);
  EXPECT_EQ(Numbers(*Outbox::Open(dir / "outbox").value()), numbers);
}

TEST(OutboxTest, WhatIsNoFileMakesRoom) {
  TempDir dir;
  ASSERT_TRUE(MakeDirs(dir / "outbox", 0700));
  auto outbox = Outbox::Open(dir / "outbox").value();
  ASSERT_TRUE(outbox->Add(Event(1)));
  EXPECT_EQ(Numbers(*outbox), (Expected{1}));
}

// A cut in the middle of writing costs what was being written, wherever it falls.
TEST(OutboxTest, EveryCutIsSurvived) {
  TempDir dir;
  std::string path = dir / "outbox";
  {
    auto outbox = Outbox::Open(path).value();
    for (uint64_t source = 1; source <= 3; ++source)
      ASSERT_TRUE(outbox->Add(Event(source)));
  }
  std::string whole = ReadFile(path).value();
  size_t most = 0;
  for (size_t length = 0; length <= whole.size(); ++length) {
    ASSERT_TRUE(ReplaceFile(path, whole.substr(0, length), 0600, Durability::kVolatile));
    auto outbox = Outbox::Open(path);
    ASSERT_TRUE(outbox) << length;
    size_t count = Numbers(**outbox).size();
    EXPECT_GE(count, most);
    most = std::max(most, count);
  }
  EXPECT_EQ(most, 3U);
}

}  // namespace
}  // namespace wherry::ota
