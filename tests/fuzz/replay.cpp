// main() of a fuzz target where libFuzzer is not linked: runs the target once for every file below
// the given paths.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

int RunFile(const std::string& path) {
  int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    perror(path.c_str());
    return -1;
  }
  std::vector<uint8_t> content;
  uint8_t block[4096];
  ssize_t got = 0;
  while ((got = read(fd, block, sizeof(block))) > 0) {
    content.insert(content.end(), block, block + got);
  }
  close(fd);
  (void)LLVMFuzzerTestOneInput(content.data(), content.size());
  return 1;
}

// The number of files run; negative after an error.
int Run(const std::string& path) {
  struct stat info = {};
  if (stat(path.c_str(), &info) != 0) {
    perror(path.c_str());
    return -1;
  }
  if (!S_ISDIR(info.st_mode)) {
    return RunFile(path);
  }
  DIR* dir = opendir(path.c_str());
  int total = 0;
  while (const dirent* entry = dir != nullptr ? readdir(dir) : nullptr) {
    if (entry->d_name[0] == '.') {
      continue;
    }
    int count = Run(path + "/" + entry->d_name);
    if (count < 0) {
      total = -1;
      break;
    }
    total += count;
  }
  if (dir != nullptr) {
    closedir(dir);
  }
  return total;
}

}  // namespace

int main(int argc, char** argv) {
  int total = 0;
  for (int i = 1; i < argc; ++i) {
    int count = Run(argv[i]);
    if (count < 0) {
      return 1;
    }
    total += count;
  }
  printf("%d inputs\n", total);
  return total > 0 ? 0 : 1;
}
