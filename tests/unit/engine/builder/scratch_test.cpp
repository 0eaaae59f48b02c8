#include "engine/builder/scratch.h"

#include <gtest/gtest.h>

#include "core/base/file.h"
#include "tests/unit/temp_dir.h"

namespace wherry::engine {
namespace {

TEST(Scratch, RemembersWhatIsToBeRemoved) {
  TempDir dir;
  auto scratch = Scratch::Make(dir.path());
  ASSERT_TRUE(scratch);
  Digest one = Digest::Of("1");
  Digest two = Digest::Of("2");
  ASSERT_TRUE(scratch->NoteContainer("build-x-1"));
  ASSERT_TRUE(scratch->NoteImage(one));
  ASSERT_TRUE(scratch->NoteImage(two));
  scratch->Forget(one);
  auto noted = Scratch(scratch->directory()).Read();
  ASSERT_TRUE(noted);
  EXPECT_EQ(noted->containers, std::vector<std::string>{"build-x-1"});
  EXPECT_EQ(noted->images, std::vector<Digest>{two});
  ASSERT_TRUE(scratch->Remove());
  EXPECT_EQ(ListDir(dir.path())->size(), 0u);
}

}  // namespace
}  // namespace wherry::engine
