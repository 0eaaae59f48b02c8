#include "net/registry/credential_helper.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
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
    if (!directory.starts_with('/'))
      continue;
    std::string candidate = Cat(directory, "/", name);
    if (access(candidate.c_str(), X_OK) == 0)
      return candidate;
  }
  return Fail(Errc::kNotFound,
              Cat("credential helper ", name, " is not in PATH; install it or remove it from the ",
                  "credentials file"));
}

struct Pipe {
  UniqueFd read, write;
};

Result<Pipe> MakePipe() {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0)
    return FailSys("pipe2");
  return Pipe{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

// Standard input that a helper may read or not: no SIGPIPE for us, and nothing on disk.
Result<UniqueFd> InputOf(std::string_view text) {
  UniqueFd file(memfd_create("credentials", MFD_CLOEXEC));
  if (!file)
    return FailSys("memfd_create");
  TRY(WriteAll(file.get(), text, "credentials"));
  if (lseek(file.get(), 0, SEEK_SET) != 0)
    return FailSys("lseek");
  return file;
}

std::vector<std::string> OwnEnvironment() {
  std::vector<std::string> environment;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry)
    environment.emplace_back(*entry);
  return environment;
}

// What one helper is allowed to take, from start to end.
class Deadline {
 public:
  explicit Deadline(std::string_view name) : name_(name) {}

  Result<> WaitFor(int fd) const {
    for (;;) {
      auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end_ - Uptime());
      pollfd watched{fd, POLLIN, 0};
      int ready = left.count() <= 0 ? 0 : poll(&watched, 1, static_cast<int>(left.count()));
      if (ready > 0)
        return {};
      if (ready < 0 && errno == EINTR)
        continue;
      return Fail(Errc::kTimeout, Cat("credential helper ", name_, " gave no answer in ",
                                      kPatience.count(), " seconds"));
    }
  }

 private:
  std::string_view name_;
  std::chrono::nanoseconds end_ = Uptime() + kPatience;
};

// Everything the helper says until it closes its output.
Result<std::string> ReadAnswer(int fd, std::string_view name, const Deadline& deadline) {
  std::string text;
  for (;;) {
    TRY(deadline.WaitFor(fd));
    std::array<char, 4096> piece;
    ssize_t count = read(fd, piece.data(), piece.size());
    if (count < 0 && errno == EINTR)
      continue;
    if (count < 0)
      return FailSys("read", name);
    if (count == 0)
      return text;
    text.append(piece.data(), static_cast<size_t>(count));
    if (text.size() > kMaxAnswer)
      return Fail(Errc::kInvalid, Cat("credential helper ", name, " says too much"));
  }
}

struct Outcome {
  bool success = false;
  std::string text;
};

Result<Outcome> RunHelper(std::string_view name, const std::string& verb,
                          std::string_view input_text) {
  if (name.empty() ||
      name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-_.") != std::string_view::npos) {
    return Fail(Errc::kInvalid, Cat("'", name, "' is not the name of a credential helper"));
  }
  std::string program = TRY(FindProgram(Cat("docker-credential-", name)));
  UniqueFd input = TRY(InputOf(input_text));
  Pipe output = TRY(MakePipe());
  Deadline deadline(name);
  sys::SpawnOptions options;
  options.program = program;
  options.argv = {program, verb};
  options.env = OwnEnvironment();
  options.fds = {{input.get(), 0}, {output.write.get(), 1}};
  auto child = TRY_CTX(Cat("credential helper ", name), sys::Spawn(options));
  output.write.Reset();
  Outcome outcome;
  outcome.text = TRY(ReadAnswer(output.read.get(), name, deadline));
  TRY(deadline.WaitFor(child.process().fd()));
  auto ended = TRY(child.process().Wait());
  (void)child.Release();
  outcome.success = ended.code == 0 && ended.signal == 0;
  return outcome;
}

bool SaysNotFound(const Outcome& outcome) {
  return outcome.text.find("credentials not found") != std::string::npos;
}

std::unexpected<Error> HelperFailed(std::string_view name, const Outcome& outcome) {
  std::string_view words = Trim(outcome.text);
  return Fail(Errc::kUnauthorized, Cat("credential helper ", name, " failed",
                                       words.empty() ? "" : ": ", words.substr(0, 200)));
}

}  // namespace

Result<Credentials> AskCredentialHelper(std::string_view name, std::string_view server) {
  Outcome outcome = TRY(RunHelper(name, "get", server));
  if (!outcome.success && SaysNotFound(outcome))
    return Credentials();
  if (!outcome.success)
    return HelperFailed(name, outcome);
  // The error must not quote the text: it holds a secret.
  auto answer = JsonDocument::Parse(outcome.text, "answer");
  if (!answer)
    return Fail(Errc::kInvalid, Cat("credential helper ", name, " does not answer in JSON"));
  Credentials credentials;
  credentials.username = (*answer)["Username"].str();
  credentials.password = (*answer)["Secret"].str();
  if (credentials.username == kTokenUser) {
    credentials.identity_token = std::move(credentials.password);
    credentials.username.clear();
    credentials.password.clear();
  }
  return credentials;
}

Result<> StoreInCredentialHelper(std::string_view name, std::string_view server,
                                 const Credentials& credentials) {
  bool token = !credentials.identity_token.empty();
  JsonWriter json;
  json.Object()
      .Field("ServerURL", server)
      .Field("Username", token ? kTokenUser : std::string_view(credentials.username));
  json.Field("Secret", token ? credentials.identity_token : credentials.password).End();
  Outcome outcome = TRY(RunHelper(name, "store", json.text()));
  if (!outcome.success)
    return HelperFailed(name, outcome);
  return {};
}

Result<> EraseFromCredentialHelper(std::string_view name, std::string_view server) {
  Outcome outcome = TRY(RunHelper(name, "erase", server));
  if (!outcome.success && !SaysNotFound(outcome))
    return HelperFailed(name, outcome);
  return {};
}

}  // namespace wherry::registry
