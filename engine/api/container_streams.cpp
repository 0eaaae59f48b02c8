#include "engine/api/container_streams.h"

#include "core/base/log.h"
#include "core/base/text.h"
#include "core/base/time.h"
#include "engine/api/log_stream.h"
#include "engine/container_attach.h"
#include "engine/containers.h"

namespace wherry::engine::api {

namespace {

constexpr std::string_view kRawStream = "application/vnd.docker.raw-stream";
constexpr std::string_view kMultiplexedStream = "application/vnd.docker.multiplexed-stream";
constexpr int kFirstMultiplexedVersion = 142;
constexpr std::string_view kDefaultDetachKeys = "ctrl-p,ctrl-q";

std::string_view StreamType(const Call& call, bool tty) {
  return tty || call.api_version < kFirstMultiplexedVersion ? kRawStream : kMultiplexedStream;
}

bool WantsUpgrade(const http::Request& request) {
  return !request.header("Upgrade").empty();
}

Result<AttachOptions> ReadAttachOptions(const http::Request& request,
                                        const ContainerConfig& config) {
  AttachOptions options;
  options.tty = config.tty;
  options.with_stdin = request.flag("stdin") && config.open_stdin;
  options.with_stdout = request.flag("stdout");
  options.with_stderr = request.flag("stderr");
  options.stdin_once = config.stdin_once;
  options.detach_keys = TRY(ReadDetachKeys(request.param("detachKeys")));
  return options;
}

Result<> CheckAttachable(const Container& container) {
  if (container.state == ContainerState::kPaused) {
    return Fail(Errc::kConflict,
                Cat("container ", container.id, " is paused, unpause the container before attach"));
  }
  if (container.state == ContainerState::kRestarting) {
    return Fail(Errc::kConflict, Cat("container ", container.id,
                                     " is restarting, wait until the container is running"));
  }
  return {};
}

// logs=1: what was written before comes first, then `then` runs.
void ReplayLog(const Services& services, const ContainerPtr& container,
               const std::shared_ptr<http::Stream>& stream, const AttachOptions& options,
               std::move_only_function<void()> then) {
  LogQuery query;
  query.with_stdout = options.with_stdout;
  query.with_stderr = options.with_stderr;
  query.multiplexed = !options.tty;
  OnWorker<std::unique_ptr<LogReader>>(
      services,
      [directory = container->directory, query] { return LogReader::Open(directory, query); },
      [services, container, stream,
       then = std::move(then)](Result<std::unique_ptr<LogReader>> reader) mutable {
        if (!reader)
          return then();
        LogSink sink;
        sink.write = [stream](std::string_view bytes) { stream->Write(bytes); };
        sink.pending = [stream] { return stream->pending(); };
        sink.on_drain = [stream](std::move_only_function<void()> callback) {
          stream->OnDrain(std::move(callback));
        };
        sink.end = std::move(then);
        auto log =
            std::make_shared<LogStream>(services, container, std::move(*reader), std::move(sink));
        stream->OnClose([log] { log->Stop(); });
        log->Begin(LogStream::Follow::kNo, 0);
      });
}

Result<int64_t> TimeParam(const http::Request& request, std::string_view name) {
  std::string_view text = request.param(name);
  if (text.empty() || text == "0")
    return 0;
  return ParseTimestamp(text, UnixNanosNow());
}

Result<LogQuery> ReadLogQuery(const http::Request& request, bool tty) {
  LogQuery query;
  query.with_stdout = request.flag("stdout");
  query.with_stderr = request.flag("stderr");
  if (!query.with_stdout && !query.with_stderr) {
    return Fail(Errc::kInvalid, "Bad parameters: you must choose at least one stream");
  }
  query.timestamps = request.flag("timestamps");
  query.multiplexed = !tty;
  query.since_nanos = TRY_CTX("invalid value for \"since\"", TimeParam(request, "since"));
  query.until_nanos = TRY_CTX("invalid value for \"until\"", TimeParam(request, "until"));
  auto tail = ParseInt(request.param("tail"));
  query.tail = tail ? *tail : -1;  // "all", and whatever else is no number
  return query;
}

}  // namespace

std::string HijackHead(const Call& call, bool tty) {
  if (!WantsUpgrade(call.request()))
    return Cat("HTTP/1.1 200 OK\r\nContent-Type: ", kRawStream, "\r\n\r\n");
  return Cat("HTTP/1.1 101 UPGRADED\r\nContent-Type: ", StreamType(call, tty),
             "\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n");
}

Result<std::string> ReadDetachKeys(std::string_view keys) {
  return ParseDetachKeys(keys.empty() ? kDefaultDetachKeys : keys);
}

void AttachContainer(const Services& services, Call call) {
  auto found = services.containers->Find(call.name);
  if (!found)
    return ReplyError(*call.exchange, found.error());
  ContainerPtr container = std::move(*found);
  auto attachable = CheckAttachable(*container);
  if (!attachable)
    return ReplyError(*call.exchange, attachable.error());
  auto options = ReadAttachOptions(call.request(), *container->config);
  if (!options)
    return ReplyError(*call.exchange, options.error());

  bool logs = call.request().flag("logs");
  bool live = call.request().flag("stream");
  std::shared_ptr<http::Stream> stream = call.exchange->Hijack(HijackHead(call, options->tty));
  auto join = [services, container, stream, live, options = *options] {
    if (!live)
      return stream->Close();
    services.containers->Attach(container, std::make_shared<AttachSession>(stream, options));
  };
  if (!logs)
    return join();
  ReplayLog(services, container, stream, *options, std::move(join));
}

void ContainerLogs(const Services& services, Call call) {
  auto found = services.containers->Find(call.name);
  if (!found)
    return ReplyError(*call.exchange, found.error());
  ContainerPtr container = std::move(*found);
  const ContainerConfig& config = *container->config;
  auto query = ReadLogQuery(call.request(), config.tty);
  if (!query)
    return ReplyError(*call.exchange, query.error());
  if (config.host.log_driver == "none") {
    return ReplyError(*call.exchange, Error(Errc::kUnsupported,
                                            "configured logging driver does not support reading"));
  }
  auto follow = call.request().flag("follow") ? LogStream::Follow::kYes : LogStream::Follow::kNo;
  std::string type(StreamType(call, config.tty));
  OnWorker<std::unique_ptr<LogReader>>(
      services,
      [directory = container->directory, query = *query] {
        return LogReader::Open(directory, query);
      },
      [services, container, follow, type, until = query->until_nanos,
       exchange = call.exchange](Result<std::unique_ptr<LogReader>> reader) {
        if (!reader)
          return ReplyError(*exchange, reader.error());
        exchange->StartStream(200, {{"Content-Type", type}});
        LogSink sink;
        sink.write = [exchange](std::string_view bytes) { exchange->Write(bytes); };
        sink.pending = [exchange] { return exchange->pending(); };
        sink.on_drain = [exchange](std::move_only_function<void()> callback) {
          exchange->OnDrain(std::move(callback));
        };
        sink.end = [exchange] { exchange->End(); };
        auto log =
            std::make_shared<LogStream>(services, container, std::move(*reader), std::move(sink));
        exchange->OnClose([log] { log->Stop(); });
        log->Begin(follow, until);
      });
}

}  // namespace wherry::engine::api
