#include "devices/backends/char_backend.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <pty.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>

#include "devices/backends/image.h"
#include "tests/unit/backends/temporary_folder.h"

namespace vireo {
namespace {

using ::testing::HasSubstr;

std::string failure(const std::string& spec) {
  auto result = open_char_backend(spec);
  if (result) return "opened";
  EXPECT_EQ(result.error().status, ExitStatus::kUsage);
  return result.error().message;
}

void write_text(CharBackend& backend, std::string_view text) {
  backend.write({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

/// Serves the backend until it has given `size` bytes, or two seconds have passed.
std::string read_text(HostCharBackend& backend, size_t size) {
  std::string text;
  for (int tries = 0; tries < 20 && text.size() < size; ++tries) {
    pollfd wait = {backend.poll_fd(), POLLIN, 0};
    ::poll(&wait, 1, 100);
    backend.service();
    uint8_t byte;
    while (backend.read(byte)) text.push_back(static_cast<char>(byte));
  }
  return text;
}

std::string read_fd(int fd, size_t size) {
  std::string text;
  char chunk[256];
  pollfd wait = {fd, POLLIN, 0};
  while (text.size() < size && ::poll(&wait, 1, 2000) > 0) {
    const ssize_t n = ::read(fd, chunk, sizeof chunk);
    if (n <= 0) break;
    text.append(chunk, static_cast<size_t>(n));
  }
  return text;
}

/// The longest run of characters of `set` that follows `before` in `text`.
std::string word_after(const std::string& text, const std::string& before, const char* set) {
  const size_t at = text.find(before);
  if (at == std::string::npos) return {};
  const size_t start = at + before.size();
  return text.substr(start, text.find_first_not_of(set, start) - start);
}

/// A server on a port that the kernel chose, and the port.
struct Server {
  std::unique_ptr<HostCharBackend> backend;
  std::string port;

  Server() {
    ::testing::internal::CaptureStderr();
    backend = open_char_backend("tcp:127.0.0.1:0,server").take();
    port = word_after(::testing::internal::GetCapturedStderr(), "port ", "0123456789");
  }
  std::unique_ptr<HostCharBackend> client() const {
    return open_char_backend("tcp:127.0.0.1:" + port).take();
  }
};

class CharBackendTest : public TemporaryFolder {};

TEST_F(CharBackendTest, SpecsThatCannotBe) {
  EXPECT_THAT(failure("telepathy"), HasSubstr("use stdio, none, file:PATH"));
  EXPECT_THAT(failure(""), HasSubstr("use stdio"));
  EXPECT_THAT(failure("file:"), HasSubstr("path is missing"));
  EXPECT_THAT(failure("file:" + path("no/such/folder")), HasSubstr("No such file"));
  EXPECT_THAT(failure("tcp:localhost"), HasSubstr("tcp:HOST:PORT"));
  EXPECT_THAT(failure("tcp:localhost:http"), HasSubstr("tcp:HOST:PORT"));
  EXPECT_THAT(failure("tcp:localhost:70000"), HasSubstr("tcp:HOST:PORT"));
  EXPECT_THAT(failure("tcp::7000"), HasSubstr("tcp:HOST:PORT"));
}

TEST_F(CharBackendTest, NoneTakesEverythingAndGivesNothing) {
  auto backend = open_char_backend("none").take();
  write_text(*backend, "gone");
  uint8_t byte;
  EXPECT_FALSE(backend->read(byte));
  EXPECT_EQ(backend->poll_fd(), -1);
}

TEST_F(CharBackendTest, FileIsEmptiedAtTheStartAndWritten) {
  const std::string file = make_file("log", 100);
  auto backend = open_char_backend("file:" + file).take();
  EXPECT_EQ(contents(file).size(), 100u);
  ASSERT_TRUE(backend->start());
  write_text(*backend, "hello ");
  write_text(*backend, "log");
  EXPECT_EQ(contents(file), "hello log") << "without waiting for the end";
}

TEST_F(CharBackendTest, FileOfADriveIsNotEmptied) {
  const std::string file = make_file("disk", 4096, "boot");
  auto disk = open_image(file, ImageKind::kDisk).take();
  EXPECT_THAT(failure("file:" + file), HasSubstr("in use"));
  EXPECT_EQ(contents(file).size(), 4096u);
}

TEST_F(CharBackendTest, FullDeviceIsSaidOnce) {
  auto backend = open_char_backend("file:/dev/full").take();
  ::testing::internal::CaptureStderr();
  write_text(*backend, "a");
  write_text(*backend, "b");
  const std::string said = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(said, HasSubstr("No space left"));
  EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1);
}

TEST_F(CharBackendTest, TcpServerServesOneClientAfterTheOther) {
  Server server;
  HostCharBackend& backend = *server.backend;
  write_text(backend, "nobody hears");
  for (const std::string text : {"first", "second"}) {
    auto client = server.client();
    write_text(*client, text);
    EXPECT_EQ(read_text(backend, text.size()), text);
    write_text(backend, "answer");
    EXPECT_EQ(read_text(*client, 6), "answer");
    client.reset();
    for (int i = 0; i < 20; ++i) {
      pollfd wait = {backend.poll_fd(), POLLIN, 0};
      ::poll(&wait, 1, 10);
      backend.service();
    }
  }
}

TEST_F(CharBackendTest, TcpRefusedIsAnError) {
  // A bound socket that does not listen: its port refuses.
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  socklen_t length = sizeof address;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length);
  EXPECT_THAT(failure("tcp:127.0.0.1:" + std::to_string(ntohs(address.sin_port))),
              HasSubstr("Connection refused"));
  ::close(fd);
}

TEST_F(CharBackendTest, PtyCarriesBytesBothWays) {
  ::testing::internal::CaptureStderr();
  auto backend = open_char_backend("pty").take();
  const std::string name =
      "/dev/pts/" + word_after(::testing::internal::GetCapturedStderr(), "/dev/pts/", "0123456789");
  const int slave = ::open(name.c_str(), O_RDWR | O_NOCTTY);
  ASSERT_GE(slave, 0);
  ASSERT_EQ(::write(slave, "in\r\3", 4), 4);
  EXPECT_EQ(read_text(*backend, 4), "in\r\3") << "raw";
  write_text(*backend, "out\n");
  EXPECT_EQ(read_fd(slave, 4), "out\n");
  ::close(slave);
  write_text(*backend, "nobody reads");
  backend->service();
}

/// Runs `body` in a child whose standard input and output are one new terminal. Returns its exit status;
/// `master` is the terminal's other end.
class TerminalChild {
 public:
  template <class Body>
  explicit TerminalChild(Body body) {
    pid_ = ::forkpty(&master_, nullptr, nullptr, nullptr);
    if (pid_ == 0) ::_exit(body());
  }
  ~TerminalChild() { ::close(master_); }
  int master() const { return master_; }
  int wait() const {
    int status = 0;
    ::waitpid(pid_, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  int master_ = -1;
  pid_t pid_ = -1;
};

TEST_F(CharBackendTest, StdioOnATerminalIsRawAndRestored) {
  TerminalChild child([] {
    termios before, during, after;
    ::tcgetattr(0, &before);
    std::string typed;
    {
      auto backend = open_char_backend("stdio").take();
      if (open_char_backend("stdio")) return 10;
      ::tcgetattr(0, &during);
      write_text(*backend, "ready");
      while (!backend->quit_requested()) typed += read_text(*backend, 1);
    }
    ::tcgetattr(0, &after);
    if ((during.c_lflag & (ICANON | ECHO | ISIG)) != 0) return 11;
    if (after.c_lflag != before.c_lflag || after.c_iflag != before.c_iflag) return 12;
    return typed == "ab\3\1" ? 0 : 13;
  });
  EXPECT_EQ(read_fd(child.master(), 5), "ready");
  ASSERT_EQ(::write(child.master(), "ab\3\1\1\1x", 7), 7);  // Ctrl-A Ctrl-A is Ctrl-A, Ctrl-A x quits
  EXPECT_EQ(child.wait(), 0);
}

TEST_F(CharBackendTest, StdioWithoutTerminalIsTransparentAndSurvivesItsReader) {
  int input[2], output[2];
  ASSERT_EQ(::pipe(input), 0);
  ASSERT_EQ(::pipe(output), 0);
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::dup2(input[0], 0);
    ::dup2(output[1], 1);
    for (const int fd : {input[0], input[1], output[0], output[1]}) ::close(fd);
    ::close(2);
    auto backend = open_char_backend("stdio").take();
    if (read_text(*backend, 3) != "\1xy") ::_exit(10);
    write_text(*backend, "to nobody");
    write_text(*backend, "to nobody");
    for (int i = 0; i < 1000 && backend->poll_fd() != -1; ++i) {
      backend->service();
      ::usleep(1000);
    }
    ::_exit(backend->poll_fd() == -1 ? 0 : 11);
  }
  ::close(input[0]);
  ::close(output[1]);
  ::close(output[0]);
  ASSERT_EQ(::write(input[1], "\1xy", 3), 3);
  ::close(input[1]);
  int status = 0;
  ::waitpid(pid, &status, 0);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(CharBackendTest, InputThatTheGuestDoesNotReadIsLeftToTheHost) {
  Server server;
  auto client = server.client();
  write_text(*client, std::string(20000, 'z'));
  for (int i = 0; i < 50; ++i) {
    pollfd wait = {server.backend->poll_fd(), POLLIN, 0};
    ::poll(&wait, 1, 10);
    server.backend->service();
  }
  EXPECT_EQ(server.backend->poll_fd(), -1) << "full: the poll loop must not spin";
  EXPECT_EQ(read_text(*server.backend, 20000).size(), 20000u);
}

}  // namespace
}  // namespace vireo
