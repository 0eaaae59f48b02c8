// One binary, several programs: the name it is called by decides.
#include <cstring>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "core/shim/launcher.h"

namespace {

std::string_view BaseName(std::string_view path) {
  size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 0 && BaseName(argv[0]) == "wherry-launch")
    return wherry::shim::LauncherMain();
  std::vector<std::string> words(argv + (argc > 0 ? 1 : 0), argv + argc);
  return wherry::cli::Main(words);
}
