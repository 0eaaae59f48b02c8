// login, logout.
#include <termios.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/credentials.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "core/base/file.h"
#include "core/base/scope.h"
#include "core/base/text.h"
#include "net/registry/reference.h"

namespace wherry::cli {

namespace {

constexpr size_t kMaxPassword = 64 << 10;  // tokens of cloud registries are long

constexpr Option kLogin[] = {
    {"password-stdin", 0, OptionKind::kFlag, "", "Read the password from standard input"},
    {"username", 'u', OptionKind::kValue, "NAME", "User name"},
};

// One line from the terminal.
Result<std::string> ReadLine() {
  std::string line;
  for (char c; read(STDIN_FILENO, &c, 1) == 1 && c != '\n';) {
    line += c;
    if (line.size() > kMaxPassword)
      return Fail(Errc::kInvalid, "the line is too long");
  }
  return line;
}

Result<std::string> AskName() {
  TRY(WriteAll(STDERR_FILENO, "User name: ", "terminal"));
  return ReadLine();
}

// Without echo.
Result<std::string> AskPassword() {
  termios saved{};
  if (tcgetattr(STDIN_FILENO, &saved) != 0) {
    return Fail(Errc::kInvalid,
                "there is no terminal to ask for the password; give it with --password-stdin");
  }
  termios silent = saved;
  silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
  TRY(WriteAll(STDERR_FILENO, "Password: ", "terminal"));
  (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
  ScopeExit restore([&saved] { (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &saved); });
  auto password = ReadLine();
  (void)WriteAll(STDERR_FILENO, "\n", "terminal");
  return password;
}

Result<std::string> PasswordFromInput() {
  std::string text = TRY(ReadAll(STDIN_FILENO, kMaxPassword, "standard input"));
  while (text.ends_with('\n') || text.ends_with('\r'))
    text.pop_back();
  return text;
}

std::string HostArgument(const Invocation& call) {
  return registry::NormaliseHost(call.words().empty() ? std::string_view()
                                                      : std::string_view(call.word(0)));
}

}  // namespace

std::span<const Option> LoginOptions() {
  return kLogin;
}

Result<int> LoginCommand(const Invocation& call) {
  const Arguments& arguments = call.arguments;
  std::string host = HostArgument(call);
  bool from_input = arguments.Flag("password-stdin");
  if (from_input && !arguments.Has("username")) {
    return Fail(Errc::kInvalid, "option --password-stdin needs --username");
  }
  registry::Credentials credentials;
  credentials.username = arguments.Has("username") ? arguments.Value("username") : TRY(AskName());
  credentials.password = TRY(from_input ? PasswordFromInput() : AskPassword());
  if (credentials.username.empty() || credentials.password.empty()) {
    return Fail(Errc::kInvalid, "user name and password must not be empty");
  }
  JsonWriter body;
  body.Object().Field("username", credentials.username).Field("password", credentials.password);
  body.Field("serveraddress", host).End();
  TRY(call.client.Post(Target("/auth"), body.text()));
  registry::CredentialsFile file = OwnCredentials();
  TRY(file.Put(host, credentials));
  TRY(Print(Cat("Login succeeded; credentials are kept in ", file.path(), "\n")));
  return 0;
}

Result<int> LogoutCommand(const Invocation& call) {
  std::string host = HostArgument(call);
  bool removed = TRY(OwnCredentials().Remove(host));
  TRY(Print(Cat(removed ? "Removed the login of " : "There was no login of ", host, "\n")));
  return 0;
}

}  // namespace wherry::cli
