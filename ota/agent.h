// The device's end of the fleet: takes what is wanted from the broker, tells what is, answers
// requests. It never decides about an update: the updater does, with or without a network. Topics
// and payloads are in docs/mqtt.md. Loop thread; what blocks is its host's matter.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "core/base/loop.h"
#include "core/base/result.h"
#include "core/base/worker_pool.h"
#include "net/mqtt/client.h"
#include "ota/desired.h"
#include "ota/outbox.h"
#include "ota/wanted.h"

namespace wherry::ota {

// What a device does for its agent. Calls return at once and answer on the loop thread.
class AgentHost {
 public:
  template <class T = void>
  using Answer = std::move_only_function<void(Result<T>)>;

  virtual ~AgentHost() = default;
  // A wish that was verified as far as the rollout goes; its release was not: Desired::release.
  virtual void Apply(std::string release, std::string deployment, Answer<> answer) = 0;
  virtual void Revoke(std::string deployment, Answer<> answer) = 0;
  // The device's state as JSON, without the members the agent adds: {"update":{},"apps":[]}.
  virtual void State(Answer<std::string> answer) = 0;
  // A request by name, parameters and answer in JSON. Those that change something come `signed` by
  // a rollout key, or are refused with kDenied; kUnsupported for a name it does not know.
  virtual void Request(std::string method, std::string parameters, bool is_signed,
                       Answer<std::string> answer) = 0;
  // The broker was reached (`trouble` is empty), or is not any more, or still not.
  virtual void OnConnection(std::string_view /*trouble*/) {}
};

// A request as the worker has read it.
struct AgentRequest {
  std::string method;
  std::string topic;  // of the answer
  std::string correlation;
  std::string parameters = "{}";
  bool is_signed = false;
  std::string refusal;  // why it is not carried out
};

struct AgentOptions {
  mqtt::ClientOptions client;  // without client_id and will
  std::string tenant = "default";
  std::string device;
  std::vector<std::string> groups;
  std::string rollout_keys;                         // directory of NAME.pub, read for each message
  std::string marks;                                // file: see WantedMarks
  std::string boot;                                 // changes with each boot of the machine
  std::string version;                              // of the engine
  std::chrono::milliseconds report_period{10'000};  // between two reports of the state
  // The broker tells that a device is gone only after this: a connection that comes back is no
  // news.
  std::chrono::seconds will_delay{60};
};

class Agent final : public mqtt::ClientUser {
 public:
  // All outlive the agent. `worker` has one thread, which keeps what blocks in its order.
  struct Environment {
    Loop* loop;
    WorkerPool* worker;
    Outbox* outbox;
    AgentHost* host;
  };
  Agent(const Environment& environment, AgentOptions options);
  ~Agent() override;
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  void Start();
  // Something of the device's state has changed.
  void StateChanged();
  // The same, of what is told only: no wish has to be looked at again.
  void ReportSoon();
  // A message without a promise below the device's branch; without a connection it is dropped.
  void Tell(std::string_view rest, std::string payload);
  // Something is in the outbox.
  void SendEvents();

  bool connected() const { return client_.connected(); }
  // Why there is no connection; empty when there is one.
  const std::string& trouble() const { return trouble_; }

  void OnConnected(bool session_present) override;
  void OnDisconnected(const Error& error, std::chrono::milliseconds retry_in) override;
  mqtt::Acknowledge OnMessage(const mqtt::Publish& message, uint64_t ticket) override;

 private:
  static mqtt::ClientOptions Complete(const AgentOptions& options);

  struct Wanted {
    Desired desired;
    uint64_t ticket = 0;            // of the message, until it is acknowledged
    bool busy = false;              // the host is asked
    bool settled = false;           // the host has taken it or refused it
    std::chrono::seconds delay{0};  // until the host is asked again, when it could not be done
  };

  std::string Topic(std::string_view rest) const;
  // agent_desired.cpp
  void OnDesired(const mqtt::Publish& message, uint64_t ticket);
  void OnTaken(const std::string& topic, uint64_t ticket, Result<WantedMarks::Taken> taken);
  void Evaluate(const std::string& topic);
  void Evaluated(const std::string& topic, const std::string& deployment, const Result<>& result);
  void AskAgain(const std::string& topic, const Error& error);
  void Settle(const std::string& topic, const std::string& deployment, const Error* refusal);
  // agent_requests.cpp
  void OnRequest(const mqtt::Publish& message);
  void OnParsed(AgentRequest request);
  void Reply(const std::string& topic, const std::string& correlation, const std::string& payload);
  // agent.cpp
  void ReportState();
  void Told(uint64_t number, const Result<>& result);
  // Runs `work` on the worker, then `done` here, unless the agent is gone by then.
  template <class T>
  void OnWorker(std::move_only_function<T()> work, std::move_only_function<void(T)> done);

  Environment env_;
  std::shared_ptr<const AgentOptions> options_;  // also of what the worker does
  mqtt::Client client_;
  std::string trouble_ = "not connected yet";

  std::shared_ptr<WantedMarks> marks_;    // of the worker
  std::map<std::string, Wanted> wanted_;  // by topic

  std::string reported_;  // the last state that was given to the client
  bool report_due_ = false;
  Loop::TimerId report_timer_ = 0;
  uint64_t sent_ = 0;  // number of the last event given to the client

  // A request that comes again is not carried out again, and gets the same answer.
  struct Asked {
    std::string identity;
    std::string answer;  // empty until there is one
  };
  std::deque<Asked> asked_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

template <class T>
void Agent::OnWorker(std::move_only_function<T()> work, std::move_only_function<void(T)> done) {
  env_.worker->Run([loop = env_.loop, alive = std::weak_ptr(alive_), work = std::move(work),
                    done = std::move(done)]() mutable {
    auto result = std::make_shared<T>(work());
    loop->Post([alive, result, done = std::move(done)]() mutable {
      if (!alive.expired())
        done(std::move(*result));
    });
  });
}

}  // namespace wherry::ota
