// Requests: a method by its topic, parameters and answer in JSON. With MQTT 5 the response topic
// and correlation data are properties; with 3.1.1 they are members of the request.
#include <algorithm>

#include "core/base/log.h"
#include "core/base/text.h"
#include "ota/agent.h"
#include "ota/release_files.h"

namespace wherry::ota {

namespace {

constexpr std::string_view kRequestType = "application/vnd.wherry.request.v1+json";
constexpr size_t kMaxAsked = 32;
constexpr size_t kMaxCorrelation = 128;

std::string ErrorJson(const Error& error) {
  JsonWriter json;
  json.Object().Key("error").Object().Field("code", ErrcName(error.code()));
  json.Field("message", error.message()).End().End();
  return json.Take();
}

// Worker: signatures take a while.
AgentRequest ReadRequest(AgentRequest request, const std::string& payload,
                         const AgentOptions& options) {
  std::string text = payload.empty() ? "{}" : payload;
  if (auto envelope = Envelope::Parse(payload, "request")) {
    auto keys = LoadKeys(options.rollout_keys);
    if (!keys) {
      request.refusal = keys.error().message();
      return request;
    }
    request.is_signed =
        envelope->payload_type == kRequestType && envelope->SignedBy(*keys) != nullptr;
    text = envelope->payload;
  }
  Result<JsonDocument> document = JsonDocument::Parse(text, "request");
  if (!document) {
    request.refusal = document.error().message();
    return request;
  }
  const JsonDocument& value = *document;
  if (request.topic.empty())
    request.topic =
        Cat("wherry/1/", options.tenant, "/", options.device, "/res/", value["reply"].str());
  if (request.correlation.empty())
    request.correlation = value["corr"].str();
  if (value["params"])
    request.parameters = value["params"].Dump();
  // For one method, one device and one boot of it: a recorded request is worth nothing.
  if (request.is_signed &&
      (value["method"].str() != request.method || value["device"].str() != options.device ||
       value["boot"].str() != options.boot))
    request.refusal = "the request is signed for another method, device or boot";
  return request;
}

}  // namespace

void Agent::OnRequest(const mqtt::Publish& message) {
  AgentRequest request;
  request.method = message.topic.substr(Topic("req/").size());
  request.topic = message.properties.text(mqtt::Property::kResponseTopic);
  request.correlation = message.properties.text(mqtt::Property::kCorrelationData);
  OnWorker<AgentRequest>([request, payload = message.payload,
                          options = options_] { return ReadRequest(request, payload, *options); },
                         [this](AgentRequest read) { OnParsed(std::move(read)); });
}

void Agent::OnParsed(AgentRequest request) {
  if (!request.topic.starts_with(Topic("res/")) || request.correlation.empty() ||
      request.correlation.size() > kMaxCorrelation) {
    LogWarning("fleet: request ", request.method, " says nowhere to answer to, ignored");
    return;
  }
  // Lengths keep the parts apart.
  std::string identity = Cat(request.topic.size(), ' ', request.topic, request.method.size(), ' ',
                             request.method, request.correlation);
  auto before = std::ranges::find(asked_, identity, &Asked::identity);
  if (before != asked_.end()) {
    if (!before->answer.empty())
      Reply(request.topic, request.correlation, before->answer);
    return;
  }
  if (asked_.size() == kMaxAsked) {
    auto oldest = std::ranges::find_if(asked_, [](const Asked& a) { return !a.answer.empty(); });
    if (oldest == asked_.end())
      return Reply(request.topic, request.correlation,
                   ErrorJson(Error(Errc::kBusy, "too many requests are being worked on")));
    asked_.erase(oldest);
  }
  asked_.push_back({identity, ""});
  auto answer = [this, request, identity,
                 alive = std::weak_ptr(alive_)](Result<std::string> result) {
    if (alive.expired())
      return;
    std::string payload = result ? Cat(R"({"result":)", *result, "}") : ErrorJson(result.error());
    std::ranges::find(asked_, identity, &Asked::identity)->answer = payload;
    Reply(request.topic, request.correlation, payload);
  };
  if (!request.refusal.empty())
    return answer(Fail(Errc::kDenied, request.refusal));
  env_.host->Request(request.method, request.parameters, request.is_signed, std::move(answer));
}

void Agent::Reply(const std::string& topic, const std::string& correlation,
                  const std::string& payload) {
  mqtt::PublishOptions options{.correlation_data = correlation};
  JsonWriter name;
  name.String(correlation);
  std::string text = payload;
  text.insert(1, Cat("\"corr\":", name.text(), ","));
  auto sent = [this, topic, correlation](const Result<>& result) {
    if (result)
      return;
    LogWarning("fleet: an answer is not sent: ", result.error().message());
    if (result.error().code() == Errc::kNoSpace)  // it is too long; that it is so is not
      Reply(topic, correlation, ErrorJson(result.error()));
  };
  if (auto given = client_.Publish(topic, std::move(text), options, sent); !given)
    LogWarning("fleet: an answer is not sent: ", given.error().message());
}

}  // namespace wherry::ota
