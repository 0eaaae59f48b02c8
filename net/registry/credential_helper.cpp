#include "net/registry/credential_helper.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/base/time.h"
#include "core/sys/spawn.h"

namespace wherry::registry {

namespace {

constexpr size_t kMaxAnswer = 64 << 10;
constexpr std::chrono::seconds kPatience{20};
constexpr std::string_view kTokenUser = "<token>";

Result<std::string> FindProgram(const std::string& name) {
  const char* path = secure_getenv("PATH");
  std::string_view search = path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin";
  for (std::string_view directory : Split(search, ':')) {
    if (!directory.starts_with('/')) continue;
    std::string candidate = Cat(directory, "/", name);
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return Fail(Errc::kNotFound, Cat("credential helper ", name, " is not in PATH; install it or remove it from the ",
                                   "credentials file"));
}

struct Pipe {
  UniqueFd read, write;
};

Result<Pipe> MakePipe() {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return FailSys("pipe2");
  return Pipe{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

std::vector<std::string> OwnEnvironment() {
  std::vector<std::string> environment;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) environment.emplace_back(*entry);
  return environment;
}

// Everything the helper says until it closes its output, bounded in size and time.
Result<std::string> ReadAnswer(int fd, std::string_view name) {
  std::string text;
  auto deadline = Uptime() + kPatience;
  for (;;) {
    auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Uptime());
    pollfd watched{fd, POLLIN, 0};
    if (left.count() <= 0 || poll(&watched, 1, static_cast<int>(left.count())) == 0) {
      return Fail(Errc::kTimeout, Cat("credential helper ", name, " gave no answer in ", kPatience.count(), " seconds"));
    }
    std::array<char, 4096> piece;
    ssize_t count = read(fd, piece.data(), piece.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return FailSys("read", name);
    if (count == 0) return text;
    text.append(piece.data(), static_cast<size_t>(count));
    if (text.size() > kMaxAnswer) return Fail(Errc::kInvalid, Cat("credential helper ", name, " says too much"));
  }
}

}  // namespace

Result<Credentials> AskCredentialHelper(std::string_view name, std::string_view server) {
  if (name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-_.") != std::string_view::npos) {
    return Fail(Errc::kInvalid, Cat("'", name, "' is not the name of a credential helper"));
  }
  std::string program = TRY(FindProgram(Cat("docker-credential-", name)));
  Pipe input = TRY(MakePipe());
  Pipe output = TRY(MakePipe());
  sys::SpawnOptions options;
  options.program = program;
  options.argv = {program, "get"};
  options.env = OwnEnvironment();
  options.fds = {{input.read.get(), 0}, {output.write.get(), 1}};
  auto child = TRY_CTX(Cat("credential helper ", name), sys::Spawn(options));
  input.read.Reset();
  output.write.Reset();
  (void)WriteAll(input.write.get(), server, name);  // a helper that does not read fails below
  input.write.Reset();
  std::string text = TRY(ReadAnswer(output.read.get(), name));
  auto ended = TRY(child.process().Wait());
  (void)child.Release();
  if (ended.code != 0 || ended.signal != 0) {
    if (text.find("credentials not found") != std::string::npos) return Credentials();
    return Fail(Errc::kUnauthorized, Cat("credential helper ", name, " failed: ", Trim(text)));
  }
  auto answer = TRY(JsonDocument::Parse(text, Cat("answer of credential helper ", name)));
  Credentials credentials;
  credentials.username = answer["Username"].str();
  credentials.password = answer["Secret"].str();
  if (credentials.username == kTokenUser) {
    credentials.identity_token = std::move(credentials.password);
    credentials.username.clear();
    credentials.password.clear();
  }
  return credentials;
}

}  // namespace wherry::registry
