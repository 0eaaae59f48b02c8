// Many devices in one process: each with the agent, outbox and updater of the product, and with
// containers that are files. For tests of the fleet tool.
//
//   simulated_fleet PORT TENANT GROUP ROLLOUT-KEYS RELEASE.pub DIRECTORY COUNT BAD
//
// Devices are called dev-000, dev-001, ...; the first BAD of them have no luck with an app called
// "sensor". Commands on standard input, each answered by a line "ok":
//
//   connect FIRST LAST     these devices connect to the broker at 127.0.0.1:PORT
//   disconnect FIRST LAST  these lose the network
//   port PORT              where the broker is from the next connect on
//   state                  "STATE DEPLOYMENT SEQUENCE" of each device, a line each, before the "ok"
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include "core/base/log.h"
#include "core/base/text.h"
#include "ota/agent.h"
#include "tests/unit/ota/device.h"

namespace wherry::ota {
namespace {

constexpr int kUpMilliseconds = 1000;

struct World {
  Loop* loop;
  WorkerPool* worker;
  std::string tenant, group, rollout_keys, release_key, directory;
  uint16_t port = 0;
};

template <class T>
T Must(Result<T> result) {
  if (!result) {
    fprintf(stderr, "simulated_fleet: %s\n", result.error().message().c_str());
    exit(1);
  }
  return *std::move(result);
}

class Device final : public AgentHost {
 public:
  Device(World* world, std::string name, bool bad)
      : world_(world),
        name_(std::move(name)),
        directory_(Cat(world->directory, "/", name_)),
        containers_(Cat(directory_, "/containers")),
        outbox_(Must(Outbox::Open(Cat(directory_, "/outbox")))) {
    release_keys_.push_back(Must(PublicKey::Load(world->release_key)));
    if (bad)
      containers_.failing.insert("sensor");
    updater_ = Updater::Open({.directory = directory_,
                              .workload = &containers_,
                              .report = [this](const Report& report) { OnReport(report); },
                              .log = [](std::string_view) {},
                              .period = std::chrono::milliseconds(200)});
    updater_->Start();
  }

  void Connect() {
    AgentOptions options;
    options.tenant = world_->tenant;
    options.device = name_;
    options.groups = {world_->group};
    options.rollout_keys = world_->rollout_keys;
    options.marks = Cat(directory_, "/wanted.json");
    options.boot = Cat("boot-of-", name_);
    options.version = WHERRY_VERSION;
    options.report_period = std::chrono::milliseconds(2000);
    options.will_delay = std::chrono::seconds(1);
    options.client.target = {"127.0.0.1", world_->port, nullptr};
    options.client.user = name_;
    agent_ = std::make_unique<Agent>(
        Agent::Environment{world_->loop, world_->worker, outbox_.get(), this}, std::move(options));
    agent_->Start();
  }
  void Disconnect() { agent_.reset(); }

  std::string Line() {
    UpdateState update = updater_->Now().update;
    std::optional<Release> active = updater_->FindRelease(update.active);
    return Cat(name_, " ", StateName(update.state), " ",
               update.deployment.empty() ? "-" : update.deployment, " ",
               active ? active->sequence : 0, "\n");
  }

  void Apply(std::string release, std::string deployment, Answer<> answer) override {
    Later(
        [this, release, deployment]() -> Result<> {
          Release opened = TRY(OpenRelease(release, release_keys_, "the release"));
          return updater_->Apply(opened, release, deployment);
        },
        std::move(answer));
  }

  void Revoke(std::string deployment, Answer<> answer) override {
    Later(
        [this, deployment]() -> Result<> {
          UpdateState now = updater_->Now().update;
          if (now.deployment != deployment || now.AtRest())
            return {};
          return updater_->Cancel(Code::kRevoked, "revoked by the fleet");
        },
        std::move(answer));
  }

  void State(Answer<std::string> answer) override {
    Updater::Status status = updater_->Now();
    JsonWriter json;
    json.Object().Field("state", StateName(status.update.state));
    json.Field("deployment", status.update.deployment);
    json.Field("code", CodeName(status.update.code)).Field("reason", status.update.reason);
    json.Field("number", status.number).Field("waiting", status.waiting);
    WriteRelease(json, "active", status.update.active);
    WriteRelease(json, "previous", status.update.previous);
    json.End();
    answer(json.Take());
  }

  void Request(std::string method, std::string parameters, bool is_signed,
               Answer<std::string> answer) override {
    if (method != "update.rollback" || !is_signed)
      return answer(Fail(Errc::kUnsupported, "only a signed update.rollback"));
    JsonDocument document = Must(JsonDocument::Parse(parameters, "parameters"));
    Result<Digest> expected = Digest::Parse(document["expected"].str());
    if (!expected)
      return answer(std::unexpected(std::move(expected).error()));
    Result<> result = updater_->Rollback(*expected);
    if (!result)
      return answer(std::unexpected(std::move(result).error()));
    answer(std::string("{}"));
  }

 private:
  void WriteRelease(JsonWriter& json, std::string_view key, const Digest& digest) {
    std::optional<Release> release = updater_->FindRelease(digest);
    if (!release) {
      json.Key(key).Null();
      return;
    }
    json.Key(key).Object().Field("digest", digest.string()).Field("name", release->name);
    json.Field("sequence", release->sequence).End();
  }

  void Later(std::move_only_function<Result<>()> work, Answer<> answer) {
    world_->worker->Run([loop = world_->loop, work = std::move(work),
                         answer = std::move(answer)]() mutable {
      auto result = std::make_shared<Result<>>(work());
      loop->Post([result, answer = std::move(answer)]() mutable { answer(std::move(*result)); });
    });
  }

  // As the engine does it: in the outbox before the updater goes on.
  void OnReport(const Report& report) {
    JsonWriter json;
    json.Object().Field("boot", Cat("boot-of-", name_)).Field("up", kUpMilliseconds);
    json.Field("st", StateName(report.update.state)).Field("code", CodeName(report.update.code));
    json.Field("msg", report.update.reason).End();
    OutboxEvent event;
    event.source = report.number;
    event.last = report.update.AtRest();
    event.topic = Cat("dep/", report.update.deployment);
    event.payload = json.Take();
    (void)outbox_->Add(std::move(event));
    world_->loop->Post([this] {
      if (!agent_)
        return;
      agent_->SendEvents();
      agent_->StateChanged();
    });
  }

  World* world_;
  std::string name_;
  std::string directory_;
  FileDevice containers_;
  std::unique_ptr<Outbox> outbox_;
  std::vector<PublicKey> release_keys_;
  std::unique_ptr<Agent> agent_;
  std::unique_ptr<Updater> updater_;
};

using Devices = std::vector<std::unique_ptr<Device>>;

void Obey(World& world, Devices& devices, const std::string& line) {
  std::vector<std::string_view> words = Split(line, ' ');
  auto number = [&](size_t index) {
    return index < words.size() ? ParseUint(words[index]).value_or(0) : 0;
  };
  std::string answer;
  if (words[0] == "port") {
    world.port = static_cast<uint16_t>(number(1));
  } else if (words[0] == "state") {
    for (auto& device : devices)
      answer += device->Line();
  } else {
    for (uint64_t i = number(1); i <= number(2) && i < devices.size(); ++i) {
      if (words[0] == "connect")
        devices[i]->Connect();
      else
        devices[i]->Disconnect();
    }
  }
  fputs(Cat(answer, "ok\n").c_str(), stdout);
  fflush(stdout);
}

std::string NameOf(size_t index) {
  char name[16];
  snprintf(name, sizeof name, "dev-%03zu", index);
  return name;
}

int Run(int argc, char** argv) {
  constexpr int kArguments = 9;
  if (argc != kArguments) {
    fputs("see the top of tests/fleet/simulated_fleet.cpp\n", stderr);
    return 2;
  }
  SetLogLevel(LogLevel::kError);
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  std::unique_ptr<Loop> loop = Must(Loop::Create());
  WorkerPool worker(1);
  World world{loop.get(), &worker, argv[2], argv[3],
              argv[4],    argv[5], argv[6], static_cast<uint16_t>(Must(ParseUint(argv[1])))};
  Devices devices;
  uint64_t count = Must(ParseUint(argv[7]));
  uint64_t bad = Must(ParseUint(argv[8]));
  for (uint64_t i = 0; i < count; ++i)
    devices.push_back(std::make_unique<Device>(&world, NameOf(i), i < bad));
  std::thread input([&] {
    char line[256];
    while (fgets(line, sizeof line, stdin) != nullptr) {
      loop->Post([&, text = std::string(Trim(line))] { Obey(world, devices, text); });
    }
    loop->Stop();
  });
  Result<> ran = loop->Run();
  input.join();
  fflush(stdout);
  // The end of a fleet is a power cut.
  _exit(ran ? 0 : 1);
}

}  // namespace
}  // namespace wherry::ota

int main(int argc, char** argv) {
  return wherry::ota::Run(argc, argv);
}
