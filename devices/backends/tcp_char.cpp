// A TCP connection as a serial line.
#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/log.h"
#include "devices/backends/char_openers.h"
#include "devices/backends/input_buffer.h"
#include "devices/backends/raw_file.h"

namespace vireo {

namespace {

class TcpChar final : public HostCharBackend {
 public:
  /// `listener` may be invalid (then `peer` is the only connection there will be).
  TcpChar(std::string name, FileDescriptor listener, FileDescriptor peer)
      : name_(std::move(name)), listener_(std::move(listener)), peer_(std::move(peer)) {}

  void write(std::span<const uint8_t> bytes) override {
    while (peer_.valid() && !bytes.empty()) {
      const ssize_t n = ::send(peer_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n >= 0) {
        bytes = bytes.subspan(static_cast<size_t>(n));
      } else if (errno == EAGAIN) {
        return;  // the peer does not keep up: dropped
      } else if (errno != EINTR) {
        hang_up(std::strerror(errno));
      }
    }
  }

  bool read(uint8_t& byte) override { return input_.take(byte); }

  int poll_fd() const override {
    if (!peer_.valid()) return listener_.get();
    return input_.has_room() ? peer_.get() : -1;
  }

  void service() override {
    if (!peer_.valid() && listener_.valid()) {
      peer_ = FileDescriptor(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    }
    if (!peer_.valid()) return;
    switch (input_.fill(peer_.get())) {
      case InputBuffer::Fill::kBytes:
        input_arrived();
        break;
      case InputBuffer::Fill::kClosed:
        hang_up("the other side closed the connection");
        break;
      case InputBuffer::Fill::kNothing:
        break;
    }
  }

 private:
  void hang_up(const char* why) {
    peer_ = FileDescriptor();
    if (!listener_.valid())
      notice(fmt::format("{}: {}; the guest's output there is dropped from now on", name_, why));
  }

  std::string name_;
  FileDescriptor listener_, peer_;
  InputBuffer input_;
};

struct Address {
  std::string host, port;
  bool server = false;
};

Result<Address> parse(std::string_view text) {
  Address address;
  std::string_view rest = text;
  if (rest.ends_with(",server")) {
    address.server = true;
    rest.remove_suffix(7);
  }
  const size_t colon = rest.rfind(':');
  const auto malformed = [&] {
    return Error{
        fmt::format("'tcp:{}': write tcp:HOST:PORT to connect or tcp:HOST:PORT,server to listen", text)};
  };
  if (colon == std::string_view::npos) return malformed();
  address.host = rest.substr(0, colon);
  address.port = rest.substr(colon + 1);
  if (address.host.starts_with('[') && address.host.ends_with(']')) {
    address.host = address.host.substr(1, address.host.size() - 2);
  }
  const bool number = !address.port.empty() && address.port.size() <= 5 &&
                      address.port.find_first_not_of("0123456789") == std::string::npos &&
                      std::stoul(address.port) <= 65535;
  if (!number || (address.host.empty() && !address.server)) return malformed();
  return address;
}

unsigned local_port(int fd) {
  sockaddr_storage local = {};
  socklen_t length = sizeof local;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&local), &length) != 0) return 0;
  if (local.ss_family == AF_INET6) return ntohs(reinterpret_cast<sockaddr_in6*>(&local)->sin6_port);
  return ntohs(reinterpret_cast<sockaddr_in*>(&local)->sin_port);
}

/// A socket that listens on or is connected to one of the addresses; else errno of the last try.
FileDescriptor open_socket(const addrinfo* candidates, bool server) {
  for (const addrinfo* a = candidates; a != nullptr; a = a->ai_next) {
    FileDescriptor fd(::socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol));
    if (!fd.valid()) continue;
    const int on = 1;
    if (server) {
      ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
      if (::bind(fd.get(), a->ai_addr, a->ai_addrlen) == 0 && ::listen(fd.get(), 1) == 0) return fd;
    } else if (::connect(fd.get(), a->ai_addr, a->ai_addrlen) == 0) {
      ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      return fd;
    }
    const int error = errno;  // close() must not hide it
    fd = FileDescriptor();
    errno = error;
  }
  return FileDescriptor();
}

}  // namespace

Result<std::unique_ptr<HostCharBackend>> open_tcp(std::string_view text) {
  Result<Address> parsed = parse(text);
  if (!parsed) return parsed.error();
  const Address& address = parsed.value();
  const std::string name = fmt::format("tcp:{}", text);

  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = address.server ? AI_PASSIVE : 0;
  addrinfo* candidates = nullptr;
  const int failure = ::getaddrinfo(address.host.empty() ? nullptr : address.host.c_str(),
                                    address.port.c_str(), &hints, &candidates);
  if (failure != 0) return Error{fmt::format("{}: unknown host: {}", name, ::gai_strerror(failure))};
  FileDescriptor fd = open_socket(candidates, address.server);
  const int error = errno;
  ::freeaddrinfo(candidates);
  if (!fd.valid()) {
    return Error{
        fmt::format("{}: cannot {}: {}", name, address.server ? "listen" : "connect", std::strerror(error))};
  }
  ::fcntl(fd.get(), F_SETFL, ::fcntl(fd.get(), F_GETFL) | O_NONBLOCK);
  if (!address.server) {
    return std::unique_ptr<HostCharBackend>(std::make_unique<TcpChar>(name, FileDescriptor(), std::move(fd)));
  }
  notice(fmt::format("{}: listening on port {}", name, local_port(fd.get())));
  return std::unique_ptr<HostCharBackend>(std::make_unique<TcpChar>(name, std::move(fd), FileDescriptor()));
}

}  // namespace vireo
