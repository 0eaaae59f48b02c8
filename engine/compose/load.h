// From the texts of compose files and the environment to a Group. Pure: what a file names is read
// by the caller's function. Hostile input.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "engine/compose/group.h"
#include "engine/compose/node.h"

namespace wherry::compose {

struct SourceFile {
  std::string name;  // for messages
  std::string path;  // absolute
  std::string text;
};

struct Sources {
  std::vector<SourceFile> files;  // later ones lie over earlier ones
  std::string directory;          // absolute; relative paths in the files begin here
  std::string name;               // of the group; empty: what the files say, else the directory's
  Environment environment;        // for variables; HOME is "~"
  // Reads an env_file; kNotFound where there is none.
  std::function<Result<std::string>(const std::string& path)> read_file;
};

struct Loaded {
  Group group;
  Node tree;                          // the files as one, with their variables replaced
  std::vector<std::string> warnings;  // variables that are not set
};

// kInvalid with a line "FILE:LINE: PATH ..." for each thing that is wrong or not supported.
Result<Loaded> Load(const Sources& sources);

}  // namespace wherry::compose
