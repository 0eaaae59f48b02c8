// exec.
#include <unistd.h>

#include "cli/attach.h"
#include "cli/commands.h"
#include "cli/create_request.h"
#include "cli/terminal.h"
#include "core/base/text.h"

namespace wherry::cli {

namespace {

constexpr OptionKind kFlag = OptionKind::kFlag;
constexpr OptionKind kValue = OptionKind::kValue;

constexpr Option kExec[] = {
    {"detach", 'd', kFlag, "", "Do not wait for the program"},
    {"detach-keys", 0, kValue, "KEYS", "Keys that detach from the program"},
    {"env", 'e', OptionKind::kList, "NAME[=VALUE]", "Environment variable"},
    {"env-file", 0, OptionKind::kList, "FILE", "Environment variables, one per line"},
    {"interactive", 'i', kFlag, "", "Forward standard input"},
    {"privileged", 0, kFlag, "", "Give the program all capabilities"},
    {"tty", 't', kFlag, "", "Give the program a terminal"},
    {"user", 'u', kValue, "USER[:GROUP]", "Name or number of the user"},
    {"workdir", 'w', kValue, "DIR", "Directory to start in"},
};

Result<std::string> ExecBody(const Invocation& call) {
  const Arguments& arguments = call.arguments;
  bool attach = !arguments.Flag("detach");
  JsonWriter json;
  json.Object().Field("AttachStdin", attach && arguments.Flag("interactive"));
  json.Field("AttachStdout", attach).Field("AttachStderr", attach);
  json.Field("Tty", arguments.Flag("tty")).Field("Privileged", arguments.Flag("privileged"));
  json.Field("User", arguments.Value("user")).Field("WorkingDir", arguments.Value("workdir"));
  json.Field("DetachKeys", arguments.Value("detach-keys"));
  json.Field("Env", TRY(Environment(arguments)));
  TerminalSize size = SizeOfTerminal(STDIN_FILENO);
  if (arguments.Flag("tty") && size.rows != 0)
    json.Key("ConsoleSize").Array().Uint(size.rows).Uint(size.columns).End();
  auto words = call.words().subspan(1);
  json.Field("Cmd", std::vector<std::string>(words.begin(), words.end())).End();
  return json.Take();
}

}  // namespace

std::span<const Option> ExecOptions() {
  return kExec;
}

Result<int> ExecCommand(const Invocation& call) {
  const Arguments& arguments = call.arguments;
  AttachRequest request{.input = arguments.Flag("interactive"),
                        .terminal = arguments.Flag("tty"),
                        .signals = false,
                        .logs = false,
                        .detach_keys = arguments.Value("detach-keys")};
  if (request.terminal && request.input && !IsTerminal(STDIN_FILENO))
    return Fail(Errc::kInvalid, "standard input is not a terminal; leave out --tty (-t)");
  std::string body = TRY(ExecBody(call));
  auto created =
      TRY(call.client.Post(Target(Cat("/containers/", Segment(call.word(0)), "/exec")), body));
  std::string id(created["Id"].str());
  if (arguments.Flag("detach")) {
    TRY(call.client.Post(Target(Cat("/exec/", Segment(id), "/start")), R"({"Detach":true})"));
    return 0;
  }
  auto attachment = TRY(Attachment::StartExec(call.client, id, request));
  if (TRY(attachment.Run()) == Attachment::End::kDetached)
    return 0;
  auto ended = TRY(call.client.Get(Target(Cat("/exec/", Segment(id), "/json"))));
  return static_cast<int>(ended["ExitCode"].integer());
}

}  // namespace wherry::cli
