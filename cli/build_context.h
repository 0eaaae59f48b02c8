// The context of a build as the archive that is sent to the daemon: a directory without what its
// .dockerignore names, made while it is read. Owner root; links stay links.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/byte_source.h"
#include "core/base/fd.h"
#include "core/base/result.h"
#include "engine/build/ignore.h"

namespace wherry::cli {

// A file that the archive has beside, or in the place of, those of the directory.
struct ExtraFile {
  std::string name;
  std::string content;
};

class BuildContext final : public ByteSource {
 public:
  // `kept`: names that are sent although they are ignored.
  BuildContext(UniqueFd directory, build::IgnoreList ignored, std::vector<std::string> kept,
               std::vector<ExtraFile> extras);

  // kInvalid for sockets, pipes and devices: .dockerignore can leave them out.
  Result<size_t> Read(std::span<std::byte> out) override;

 private:
  struct Level {
    UniqueFd directory;
    std::string path;  // empty, or with a slash at its end
    std::vector<std::string> names;
    size_t next = 0;
  };
  Result<> Advance();
  Result<> Enter(UniqueFd directory, std::string path);
  Result<> Begin(int directory, const std::string& name, const std::string& path);
  bool IsLeftOut(const std::string& path, bool directory) const;
  Result<size_t> ReadFile(std::span<std::byte> out);

  UniqueFd top_;
  build::IgnoreList ignored_;
  std::vector<std::string> kept_;
  std::vector<ExtraFile> extras_;
  std::vector<Level> levels_;
  bool ended_ = false;
  std::string text_;  // to be given out
  size_t given_ = 0;
  UniqueFd file_;  // comes after it
  std::string file_path_;
  uint64_t file_size_ = 0;
  uint64_t file_left_ = 0;
};

}  // namespace wherry::cli
