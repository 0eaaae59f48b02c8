#include "cli/compose/follow.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "cli/stream.h"
#include "core/base/file.h"
#include "core/base/text.h"
#include "core/base/time.h"

namespace wherry::cli {

namespace {

constexpr OptionKind kFlag = OptionKind::kFlag;
constexpr OptionKind kValue = OptionKind::kValue;
constexpr size_t kMaxLine = 64 << 10;  // a longer one is printed in parts
constexpr std::string_view kColors[] = {"36", "33", "32", "35", "34"};

constexpr Option kLogs[] = {
    {"follow", 'f', kFlag, "", "Go on while containers run"},
    {"no-color", 0, kFlag, "", "No colours"},
    {"no-log-prefix", 0, kFlag, "", "Lines as they are"},
    {"since", 0, kValue, "TIME", "From this time on: RFC 3339, unix seconds, or an age such as 5m"},
    {"tail", 'n', kValue, "NUMBER", "Only the last lines of each container"},
    {"timestamps", 't', kFlag, "", "Show the time of each line"},
    {"until", 0, kValue, "TIME", "Up to this time"},
};

}  // namespace

LogFollower::LogFollower(Client& client, Options options)
    : socket_(client.socket()), options_(std::move(options)), ended_(eventfd(0, EFD_CLOEXEC)) {}

LogFollower::~LogFollower() {
  Join();
}

void LogFollower::Join() {
  for (std::thread& thread : threads_) {
    if (thread.joinable())
      thread.join();
  }
}

void LogFollower::Add(const GroupContainer& container, std::string name, std::string since) {
  Source source{.container = container, .label = {}, .name = std::move(name)};
  if (options_.prefix) {
    std::string text = source.name;
    text.resize(std::max(text.size(), options_.width), ' ');
    text += "  | ";
    std::string_view color = kColors[colors_++ % std::size(kColors)];
    source.label = options_.color ? Cat("\x1b[", color, "m", text, "\x1b[0m") : text;
  }
  ++running_;
  threads_.emplace_back([this, source = std::move(source), since = std::move(since)] {
    Run(source, since);
    Ended();
  });
}

void LogFollower::Ended() {
  uint64_t one = 1;
  if (--running_ == 0)
    (void)!write(ended_.get(), &one, sizeof one);
}

void LogFollower::Run(const Source& source, std::string since) {
  Client client(socket_);
  bool terminal = false;
  if (auto inspected = client.Get(Target(Cat("/containers/", source.container.id, "/json"))))
    terminal = (*inspected)["Config"]["Tty"].boolean();
  for (;;) {
    auto copied = Copy(client, source, terminal, since);
    if (!copied && copied.error().code() != Errc::kNotFound)
      Line(STDERR_FILENO, source, Cat("(the log broke off: ", copied.error().message(), ")"));
    if (!copied || !options_.tell_exit || !TellExit(client, source, since))
      return;
  }
}

// Whole lines of one of the streams.
void LogFollower::Line(int fd, const Source& source, std::string_view line) {
  std::string text = Cat(source.label, line, "\n");
  std::lock_guard lock(output_);
  (void)WriteAll(fd, text, "output");
}

Result<> LogFollower::Copy(Client& client, const Source& source, bool terminal,
                           const std::string& since) {
  Query query = options_.query;
  query.emplace_back("stdout", "1");
  query.emplace_back("stderr", "1");
  if (options_.follow)
    query.emplace_back("follow", "1");
  if (!since.empty()) {
    std::erase_if(query, [](const auto& one) { return one.first == "since"; });
    query.emplace_back("since", since);
  }
  auto stream =
      TRY(client.Open("GET", Target(Cat("/containers/", source.container.id, "/logs"), query)));
  std::array<std::string, 2> pending;
  auto take = [&](int fd, std::string_view bytes) -> Result<> {
    std::string& text = pending[fd == STDERR_FILENO ? 1 : 0];
    text += bytes;
    size_t start = 0;
    for (size_t end; (end = text.find('\n', start)) != std::string::npos; start = end + 1)
      Line(fd, source, std::string_view(text).substr(start, end - start));
    text.erase(0, start);
    if (text.size() > kMaxLine) {
      Line(fd, source, text);
      text.clear();
    }
    return {};
  };
  Demultiplexer demultiplexer(take);
  std::array<std::byte, 16 << 10> buffer;
  for (;;) {
    size_t count = TRY(stream->Read(buffer));
    if (count == 0)
      break;
    std::string_view bytes(static_cast<const char*>(static_cast<const void*>(buffer.data())),
                           count);
    TRY(terminal ? take(STDOUT_FILENO, bytes) : demultiplexer.Feed(bytes));
  }
  for (int i = 0; i < 2; ++i) {
    if (!pending[i].empty())
      Line(i == 1 ? STDERR_FILENO : STDOUT_FILENO, source, pending[i]);
  }
  return {};
}

// True when the container has been started again, and its output goes on.
bool LogFollower::TellExit(Client& client, const Source& source, std::string& since) {
  constexpr std::chrono::milliseconds kPause{200};
  bool told = false;
  for (;;) {
    auto inspected = client.Get(Target(Cat("/containers/", source.container.id, "/json")));
    if (!inspected)
      return false;
    JsonValue state = (*inspected)["State"];
    since = (*inspected)["State"]["StartedAt"].str();
    if (state["Running"].boolean() && !state["Restarting"].boolean())
      return true;
    if (!told)
      Say(Cat(source.name, " exited with code ", state["ExitCode"].integer()));
    told = true;
    if (!state["Restarting"].boolean())
      return false;
    std::this_thread::sleep_for(kPause);
  }
}

std::span<const Option> ComposeLogsOptions() {
  return kLogs;
}

Result<int> ComposeLogs(const ComposeCall& call) {
  auto all = TRY(ListContainers(call.client, call.project.group.name, OneOffs::kLeaveOut));
  auto containers = ContainersOf(all, call.words());
  LogFollower::Options options;
  options.follow = call.arguments.Flag("follow");
  options.color = call.color && !call.arguments.Flag("no-color");
  options.prefix = !call.arguments.Flag("no-log-prefix");
  for (std::string_view name : {"since", "until", "tail"})
    options.query.emplace_back(name, call.arguments.Value(name));
  options.query.emplace_back("timestamps", call.arguments.Flag("timestamps") ? "1" : "");
  for (const GroupContainer& container : containers)
    options.width = std::max(options.width, ShortName(call.project, container).size());
  LogFollower follower(call.client, std::move(options));
  for (const GroupContainer& container : containers) {
    follower.Add(container, ShortName(call.project, container), "");
    if (!call.arguments.Flag("follow"))
      follower.Join();  // one after the other
  }
  follower.Join();
  return 0;
}

}  // namespace wherry::cli
