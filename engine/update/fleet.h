// The engine's part of the fleet: what the agent asks of this device, and what happened to its
// updates on the way to the agent. docs/mqtt.md.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "core/base/loop.h"
#include "core/base/result.h"
#include "core/base/worker_pool.h"
#include "engine/config.h"
#include "engine/containers.h"
#include "engine/events.h"
#include "engine/images.h"
#include "engine/log_reader.h"
#include "engine/update/updates.h"
#include "ota/agent.h"

namespace wherry::engine {

class Fleet final : public ota::AgentHost {
 public:
  // All outlive this object.
  struct Environment {
    const Config* config;
    Loop* loop;
    EventBus* events;
    Images* images;
    Containers* containers;
    Updates* updates;
  };
  // REQUIRES: config->mqtt.broker is not empty. An error is none of the daemon's: it goes on
  // without the fleet.
  static Result<std::unique_ptr<Fleet>> Open(const Environment& environment);
  ~Fleet() override;

  void Start();
  // Thread of the updater: on flash when it returns.
  void OnReport(const ota::Report& report);

  void Apply(std::string release, std::string deployment, Answer<> answer) override;
  void Revoke(std::string deployment, Answer<> answer) override;
  void State(Answer<std::string> answer) override;
  void Request(std::string method, std::string parameters, bool is_signed,
               Answer<std::string> answer) override;
  void OnConnection(std::string_view trouble) override;

 private:
  explicit Fleet(const Environment& environment) : env_(environment) {}
  Result<ota::AgentOptions> Options();
  void OnEvent(const Event& event);
  void Measure();

  // fleet_methods.cpp
  struct Method;
  void WithApp(JsonValue parameters, Answer<std::string> answer,
               std::move_only_function<void(ContainerPtr, Done<>)> use);
  void StartApp(JsonValue parameters, Answer<std::string> answer);
  void StopApp(JsonValue parameters, Answer<std::string> answer);
  void RestartApp(JsonValue parameters, Answer<std::string> answer);
  void Prune(JsonValue parameters, Answer<std::string> answer);
  void Reboot(JsonValue parameters, Answer<std::string> answer);
  // fleet_logs.cpp
  struct Lease {
    std::string app;
    std::shared_ptr<LogReader> reader;  // of the worker while it reads; null: not yet open
    std::string directory;              // of the container whose log it is
    std::chrono::nanoseconds until{0};
    uint64_t number = 0;       // one that ended and began again under its name is another
    int64_t changed_from = 0;  // unix time: an update may have changed the container since; 0: none
  };
  struct Piece;
  static Result<Piece> ReadPiece(Updates& updates, const Lease& lease);
  void NoteChange(int64_t from);
  void LeaseLog(JsonValue parameters, Answer<std::string> answer);
  void ReadLog(const std::string& session, uint64_t number);

  template <class T>
  void On(WorkerPool& pool, std::move_only_function<Result<T>()> work, Answer<T> answer);
  template <class T>
  void OnWorker(std::move_only_function<Result<T>()> work, Answer<T> answer) {
    On<T>(worker_, std::move(work), std::move(answer));
  }

  Environment env_;
  std::string boot_;
  std::unique_ptr<ota::Outbox> outbox_;
  WorkerPool worker_{1};
  WorkerPool bringer_{1};  // of releases, for which a registry may have to be waited for
  std::unique_ptr<ota::Agent> agent_;
  std::map<std::string, Lease> leases_;  // of logs, by session
  uint64_t lease_count_ = 0;
  EventBus::Subscription subscription_ = 0;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

template <class T>
void Fleet::On(WorkerPool& pool, std::move_only_function<Result<T>()> work, Answer<T> answer) {
  pool.Run([loop = env_.loop, alive = std::weak_ptr(alive_), work = std::move(work),
            answer = std::move(answer)]() mutable {
    auto result = std::make_shared<Result<T>>(work());
    loop->Post([alive, result, answer = std::move(answer)]() mutable {
      if (!alive.expired())
        answer(std::move(*result));
    });
  });
}

}  // namespace wherry::engine
