// The engine's part of the fleet: what the agent asks of this device, and what happened to its
// updates on the way to the agent. docs/mqtt.md.
#pragma once

#include <memory>
#include <string>

#include "core/base/loop.h"
#include "core/base/result.h"
#include "core/base/worker_pool.h"
#include "engine/config.h"
#include "engine/update/updates.h"
#include "ota/agent.h"

namespace wherry::engine {

class Fleet final : public ota::AgentHost {
 public:
  // All outlive this object.
  struct Environment {
    const Config* config;
    Loop* loop;
    Updates* updates;
  };
  // REQUIRES: config->mqtt.broker is not empty.
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

 private:
  explicit Fleet(const Environment& environment) : env_(environment) {}
  Result<ota::AgentOptions> Options();
  template <class T>
  void OnWorker(std::move_only_function<Result<T>()> work, Answer<T> answer);

  Environment env_;
  std::string boot_;
  std::unique_ptr<ota::Outbox> outbox_;
  WorkerPool worker_{1};
  std::unique_ptr<ota::Agent> agent_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace wherry::engine
