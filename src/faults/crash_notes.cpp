// As with StopSignals, a handler reaches only this file's variables.
#include "src/faults/crash_notes.hpp"

#include <atomic>
#include <iterator>

#include "weft/error.hpp"

namespace weft {
namespace {

constexpr int kSignals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
constexpr std::size_t kStackBytes = 64 << 10;

std::atomic<LastOperationFile*> record_of_crashes{nullptr};
struct sigaction previous[std::size(kSignals)];

void on_crash(int signal, siginfo_t* info, void*) {
  if (LastOperationFile* record = record_of_crashes.load()) record->note_crash(signal);
  for (std::size_t i = 0; i < std::size(kSignals); ++i)
    if (kSignals[i] == signal) sigaction(signal, &previous[i], nullptr);
  // A fault of the processor's happens again on return; one that was sent must be sent again.
  if (signal == SIGABRT || info->si_code <= 0) raise(signal);
}

}  // namespace

CrashNotes::CrashNotes(LastOperationFile& record) : stack_(std::make_unique<std::byte[]>(kStackBytes)) {
  LastOperationFile* nobody = nullptr;
  check_internal(record_of_crashes.compare_exchange_strong(nobody, &record), "two CrashNotes at a time");
  stack_t stack{};
  stack.ss_sp = stack_.get();
  stack.ss_size = kStackBytes;
  sigaltstack(&stack, &previous_stack_);
  struct sigaction action {};
  action.sa_sigaction = on_crash;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  for (std::size_t i = 0; i < std::size(kSignals); ++i) sigaction(kSignals[i], &action, &previous[i]);
}

CrashNotes::~CrashNotes() {
  for (std::size_t i = 0; i < std::size(kSignals); ++i) sigaction(kSignals[i], &previous[i], nullptr);
  sigaltstack(&previous_stack_, nullptr);
  record_of_crashes = nullptr;
}

}  // namespace weft
