#include "core/runtime/program.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/base/text.h"

namespace wherry::runtime {

namespace {

// The words of Go's syscall errors, which is what callers of runc know.
std::string Reason(int error_number) {
  return ToLower(ErrnoText(error_number));
}

int ExitCode(int error_number) {
  return error_number == ENOENT || error_number == ENOTDIR ? StartError::kNotFound
                                                           : StartError::kNotExecutable;
}

std::unexpected<StartError> ExecFailure(const std::string& name, int error_number,
                                        std::string_view reason) {
  Error error(ErrcFromErrno(error_number), Cat("exec: \"", name, "\": ", reason));
  return std::unexpected(StartError(std::move(error), ExitCode(error_number)));
}

// 0 when `path` is an executable file, else errno.
int CheckExecutable(const std::string& path) {
  struct stat status{};
  if (stat(path.c_str(), &status) < 0)
    return errno;
  if (S_ISDIR(status.st_mode))
    return EISDIR;
  if (faccessat(AT_FDCWD, path.c_str(), X_OK, AT_EACCESS) == 0)
    return 0;
  // Old kernels answer ENOSYS, seccomp filters EPERM: the mode bits decide, and execve has the last
  // word.
  if (errno == ENOSYS || errno == EPERM)
    return (status.st_mode & 0111) != 0 ? 0 : EACCES;
  return errno;
}

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& text : strings)
    pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

std::string_view PathVariable(const std::vector<std::string>& env) {
  std::string_view value;
  for (std::string_view entry : env) {
    if (entry.starts_with("PATH="))
      value = entry.substr(5);
  }
  return value;
}

}  // namespace

StartResult<std::string> FindProgram(const std::string& name, const std::vector<std::string>& env) {
  if (name.find('/') != std::string::npos) {
    int error_number = CheckExecutable(name);
    if (error_number == 0)
      return name;
    std::string reason = Reason(error_number);
    if (error_number == ENOENT || error_number == ENOTDIR)
      reason = Cat("stat ", name, ": ", reason);
    return ExecFailure(name, error_number, reason);
  }
  int refused = 0;
  for (std::string_view directory : Split(PathVariable(env), ':')) {
    if (name.empty() || !directory.starts_with('/'))
      continue;  // never relative to the working directory
    std::string path = Cat(directory, "/", name);
    int error_number = CheckExecutable(path);
    if (error_number == 0)
      return path;
    if (error_number == EACCES)
      refused = error_number;
  }
  if (refused != 0)
    return ExecFailure(name, refused, Reason(refused));
  return ExecFailure(name, ENOENT, "executable file not found in $PATH");
}

StartError Execute(const std::string& path, const std::vector<std::string>& args,
                   const std::vector<std::string>& env) {
  std::vector<char*> argv = Pointers(args);
  std::vector<char*> envp = Pointers(env);
  execve(path.c_str(), argv.data(), envp.data());
  int error_number = errno;
  return StartError(
      Error(ErrcFromErrno(error_number), Cat("exec ", path, ": ", Reason(error_number))),
      ExitCode(error_number));
}

}  // namespace wherry::runtime
