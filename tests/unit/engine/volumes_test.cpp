#include "engine/volumes.h"

#include <gtest/gtest.h>

#include "core/base/file.h"
#include "tests/unit/temp_dir.h"

namespace wherry::engine {
namespace {

class VolumesTest : public testing::Test {
 protected:
  Volumes Open() { return Volumes(directory_ / "volumes"); }
  std::string Path(std::string_view name) {
    return std::string(directory_ / "volumes/") + std::string(name);
  }
  // A container with the volume "data".
  ContainerConfig Config() {
    ContainerConfig config;
    MountRequest mount;
    mount.type = MountRequest::Type::kVolume;
    mount.volume = "data";
    mount.target = "/data";
    config.host.mounts.push_back(mount);
    LocateVolumes(std::string(directory_ / ""), config);
    return config;
  }

  TempDir directory_;
};

TEST_F(VolumesTest, NamesAreChecked) {
  for (const char* name : {"ab", "a.b-c_1", "0a"})
    EXPECT_TRUE(CheckVolumeName(name)) << name;
  for (const char* name : {"", "a", ".a", "-a", "a/b", "..", "a b", "a\n"})
    EXPECT_FALSE(CheckVolumeName(name)) << name;
  EXPECT_FALSE(CheckVolumeName(std::string(256, 'a')));
}

TEST_F(VolumesTest, SurviveARestart) {
  Volumes volumes = Open();
  ASSERT_TRUE(volumes.Restore());
  bool created = false;
  ASSERT_TRUE(volumes.Create({.name = "data", .labels = {{"a", "b"}}}, &created));
  EXPECT_TRUE(created);
  ASSERT_TRUE(volumes.Create({.name = "data", .labels = {{"other", ""}}}, &created));
  EXPECT_FALSE(created);
  Volumes again = Open();
  ASSERT_TRUE(again.Restore());
  auto found = again.Find("data");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->labels.at("a"), "b");
  EXPECT_FALSE(found->labels.contains("other"));
  ASSERT_TRUE(again.Remove("data"));
  EXPECT_FALSE(again.Find("data"));
  EXPECT_FALSE(PathExists(Path("data")));
}

TEST_F(VolumesTest, WhatWasCutShortIsRemoved) {
  ASSERT_TRUE(MakeDirs(Path("half/_data"), 0755));
  ASSERT_TRUE(MakeDirs(Path("damaged/_data"), 0755));
  ASSERT_TRUE(ReplaceFile(Path("damaged/volume.json"), "{", 0600, Durability::kVolatile));
  Volumes volumes = Open();
  ASSERT_TRUE(volumes.Restore());
  EXPECT_FALSE(PathExists(Path("half")));
  EXPECT_TRUE(volumes.Find("damaged")) << "the content must not be lost for a record";
  EXPECT_TRUE(PathExists(Path("damaged/_data")));
}

TEST_F(VolumesTest, OnlyAnEmptyOneIsFilled) {
  Volumes volumes = Open();
  ASSERT_TRUE(volumes.Restore());
  ContainerConfig config = Config();
  ASSERT_TRUE(volumes.Ensure(config));
  auto markers = Volumes::PrepareFill(config);
  ASSERT_TRUE(markers) << markers.error().message();
  EXPECT_EQ(markers->size(), 1u);
  EXPECT_TRUE(config.host.mounts[0].fill);
  // Cut short: what is there is not whole.
  ASSERT_TRUE(ReplaceFile(Path("data/_data/part"), "x", 0600, Durability::kVolatile));
  ASSERT_TRUE(Volumes::PrepareFill(config));
  EXPECT_FALSE(PathExists(Path("data/_data/part")));
  EXPECT_TRUE(config.host.mounts[0].fill);
  // Done: the launcher removes the marker.
  ASSERT_TRUE(RemoveTree(markers->front()));
  ASSERT_TRUE(ReplaceFile(Path("data/_data/whole"), "x", 0600, Durability::kVolatile));
  markers = Volumes::PrepareFill(config);
  ASSERT_TRUE(markers);
  EXPECT_TRUE(markers->empty());
  EXPECT_FALSE(config.host.mounts[0].fill);
  EXPECT_TRUE(PathExists(Path("data/_data/whole")));
}

TEST_F(VolumesTest, NoCopyNeverFills) {
  Volumes volumes = Open();
  ASSERT_TRUE(volumes.Restore());
  ContainerConfig config = Config();
  config.host.mounts[0].copy = false;
  ASSERT_TRUE(volumes.Ensure(config));
  auto markers = Volumes::PrepareFill(config);
  ASSERT_TRUE(markers);
  EXPECT_TRUE(markers->empty());
}

}  // namespace
}  // namespace wherry::engine
