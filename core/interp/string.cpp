// MOVS CMPS STOS LODS SCAS. With REP a bulk step handles as many elements as lie in one page of plain memory
// on both sides; anything else goes element by element. Registers are up to date after every step, so a fault
// or a pause in between leaves a restartable instruction.
#include <algorithm>

#include "core/interp/host_ops.h"
#include "core/interp/operands.h"

namespace vireo::interp {

namespace {

constexpr unsigned kRcx = 1, kRsi = 6, kRdi = 7;

bool backward(const Interp& interp) {
  return interp.cpu.rflags & rflags::kDf;
}

/// rSI or rDI of address size A, moved by `elements` elements in the direction of DF.
template <class T, class A>
void advance(Interp& interp, const Insn& insn, unsigned number, uint64_t elements) {
  const A bytes = static_cast<A>(elements * sizeof(T));
  const A old = interp.reg<A>(number, insn);
  interp.set_reg<A>(number, insn, static_cast<A>(backward(interp) ? old - bytes : old + bytes));
}

/// How many whole elements there are from `offset` up to the end of its page or of the address space, at most
/// `count`.
template <class T, class A>
uint64_t run_length(const Interp& interp, SegReg segment, A offset, uint64_t count) {
  const uint64_t to_page_end = kPageSize - ((interp.cpu.segment(segment).base + offset) & kPageMask);
  const uint64_t to_wrap = static_cast<uint64_t>(static_cast<A>(~offset));  // one byte short is good enough
  return std::min({count, to_page_end / sizeof(T), to_wrap / sizeof(T)});
}

// Each operation: one() does one element; bulk() tries `count` forward ones and returns how many it did.
// `more` says whether REPE/REPNE goes on.
template <class T, class A>
struct Movs {
  static constexpr bool kCompares = false;
  static void one(Interp& interp, const Insn& insn) {
    const T value = interp.read<T>(insn.segment, interp.reg<A>(kRsi, insn));
    interp.write<T>(SegReg::kEs, interp.reg<A>(kRdi, insn), value);
    advance<T, A>(interp, insn, kRsi, 1);
    advance<T, A>(interp, insn, kRdi, 1);
  }
  static uint64_t bulk(Interp& interp, const Insn& insn, uint64_t count) {
    const A from = interp.reg<A>(kRsi, insn), to = interp.reg<A>(kRdi, insn);
    const uint64_t n =
        run_length<T, A>(interp, SegReg::kEs, to, run_length<T, A>(interp, insn.segment, from, count));
    if (n < 2) return 0;
    const unsigned bytes = static_cast<unsigned>(n * sizeof(T));
    const uint8_t* source = interp.direct_read(insn.segment, from, bytes);
    uint8_t* dest = interp.direct_write(SegReg::kEs, to, bytes);
    if (source == nullptr || dest == nullptr) return 0;
    // The host's own string instruction keeps the guest's result when the areas overlap.
    uint64_t left = n;
    if constexpr (sizeof(T) == 1) {
      asm volatile("rep movsb" : "+S"(source), "+D"(dest), "+c"(left) : : "memory");
    } else if constexpr (sizeof(T) == 2) {
      asm volatile("rep movsw" : "+S"(source), "+D"(dest), "+c"(left) : : "memory");
    } else if constexpr (sizeof(T) == 4) {
      asm volatile("rep movsl" : "+S"(source), "+D"(dest), "+c"(left) : : "memory");
    } else {
      asm volatile("rep movsq" : "+S"(source), "+D"(dest), "+c"(left) : : "memory");
    }
    advance<T, A>(interp, insn, kRsi, n);
    advance<T, A>(interp, insn, kRdi, n);
    return n;
  }
};

template <class T, class A>
struct Stos {
  static constexpr bool kCompares = false;
  static void one(Interp& interp, const Insn& insn) {
    interp.write<T>(SegReg::kEs, interp.reg<A>(kRdi, insn), interp.reg<T>(0, insn));
    advance<T, A>(interp, insn, kRdi, 1);
  }
  static uint64_t bulk(Interp& interp, const Insn& insn, uint64_t count) {
    const A to = interp.reg<A>(kRdi, insn);
    const uint64_t n = run_length<T, A>(interp, SegReg::kEs, to, count);
    if (n < 2) return 0;
    uint8_t* dest = interp.direct_write(SegReg::kEs, to, static_cast<unsigned>(n * sizeof(T)));
    if (dest == nullptr) return 0;
    uint64_t left = n;
    const T value = interp.reg<T>(0, insn);
    if constexpr (sizeof(T) == 1) {
      asm volatile("rep stosb" : "+D"(dest), "+c"(left) : "a"(value) : "memory");
    } else if constexpr (sizeof(T) == 2) {
      asm volatile("rep stosw" : "+D"(dest), "+c"(left) : "a"(value) : "memory");
    } else if constexpr (sizeof(T) == 4) {
      asm volatile("rep stosl" : "+D"(dest), "+c"(left) : "a"(value) : "memory");
    } else {
      asm volatile("rep stosq" : "+D"(dest), "+c"(left) : "a"(value) : "memory");
    }
    advance<T, A>(interp, insn, kRdi, n);
    return n;
  }
};

template <class T, class A>
struct Lods {
  static constexpr bool kCompares = false;
  static void one(Interp& interp, const Insn& insn) {
    interp.set_reg<T>(0, insn, interp.read<T>(insn.segment, interp.reg<A>(kRsi, insn)));
    advance<T, A>(interp, insn, kRsi, 1);
  }
  static uint64_t bulk(Interp& interp, const Insn& insn, uint64_t count) {
    const A from = interp.reg<A>(kRsi, insn);
    const uint64_t n = run_length<T, A>(interp, insn.segment, from, count);
    if (n < 2) return 0;
    const uint8_t* source = interp.direct_read(insn.segment, from, static_cast<unsigned>(n * sizeof(T)));
    if (source == nullptr) return 0;
    T value;
    std::memcpy(&value, source + (n - 1) * sizeof(T), sizeof(T));
    interp.set_reg<T>(0, insn, value);
    advance<T, A>(interp, insn, kRsi, n);
    return n;
  }
};

/// The last elements compared; flags are made from them when the instruction ends. A fault, trap or interrupt
/// between iterations so finds the flags as they were.
template <class T>
struct Compared {
  T first{}, second{};
  bool equal() const { return first == second; }
};

template <class T, class A>
struct Cmps {
  static constexpr bool kCompares = true;
  static Compared<T> one(Interp& interp, const Insn& insn) {
    // In the order in which Intel's CPUs fault.
    const T second = interp.read<T>(SegReg::kEs, interp.reg<A>(kRdi, insn));
    const T first = interp.read<T>(insn.segment, interp.reg<A>(kRsi, insn));
    advance<T, A>(interp, insn, kRsi, 1);
    advance<T, A>(interp, insn, kRdi, 1);
    return {first, second};
  }
  static uint64_t bulk(Interp& interp, const Insn& insn, uint64_t count, bool while_equal,
                       Compared<T>& last) {
    const A a = interp.reg<A>(kRsi, insn), b = interp.reg<A>(kRdi, insn);
    const uint64_t n =
        run_length<T, A>(interp, SegReg::kEs, b, run_length<T, A>(interp, insn.segment, a, count));
    if (n < 2) return 0;
    const unsigned bytes = static_cast<unsigned>(n * sizeof(T));
    const uint8_t* first = interp.direct_read(insn.segment, a, bytes);
    const uint8_t* second = interp.direct_read(SegReg::kEs, b, bytes);
    if (first == nullptr || second == nullptr) return 0;
    uint64_t done = 0;
    do {
      std::memcpy(&last.first, first + done * sizeof(T), sizeof(T));
      std::memcpy(&last.second, second + done * sizeof(T), sizeof(T));
      ++done;
    } while (done < n && last.equal() == while_equal);
    advance<T, A>(interp, insn, kRsi, done);
    advance<T, A>(interp, insn, kRdi, done);
    return done;
  }
};

template <class T, class A>
struct Scas {
  static constexpr bool kCompares = true;
  static Compared<T> one(Interp& interp, const Insn& insn) {
    const T value = interp.read<T>(SegReg::kEs, interp.reg<A>(kRdi, insn));
    advance<T, A>(interp, insn, kRdi, 1);
    return {interp.reg<T>(0, insn), value};
  }
  static uint64_t bulk(Interp& interp, const Insn& insn, uint64_t count, bool while_equal,
                       Compared<T>& last) {
    const A at = interp.reg<A>(kRdi, insn);
    const uint64_t n = run_length<T, A>(interp, SegReg::kEs, at, count);
    if (n < 2) return 0;
    const uint8_t* source = interp.direct_read(SegReg::kEs, at, static_cast<unsigned>(n * sizeof(T)));
    if (source == nullptr) return 0;
    last.first = interp.reg<T>(0, insn);
    uint64_t done = 0;
    do {
      std::memcpy(&last.second, source + done * sizeof(T), sizeof(T));
      ++done;
    } while (done < n && last.equal() == while_equal);
    advance<T, A>(interp, insn, kRdi, done);
    return done;
  }
};

template <class Op, class T, class A>
void once(Interp& interp, const Insn& insn) {
  if constexpr (Op::kCompares) {
    const Compared<T> compared = Op::one(interp, insn);
    host::Cmp::run<T>(compared.first, compared.second, interp.cpu.rflags);
  } else {
    Op::one(interp, insn);
  }
}

template <class Op, class T, class A>
void repeat(Interp& interp, const Insn& insn) {
  const bool while_equal = !(insn.prefixes & isa::prefix::kRepne);
  A count = interp.reg<A>(kRcx, insn);
  while (count != 0) {
    uint64_t done = 0;
    [[maybe_unused]] Compared<T> compared;
    // Single-stepping and data breakpoints want to see every iteration.
    if (!backward(interp) && !interp.rep_must_pause()) {
      if constexpr (Op::kCompares) {
        done = Op::bulk(interp, insn, count, while_equal, compared);
      } else {
        done = Op::bulk(interp, insn, count);
      }
    }
    if (done == 0) {
      if constexpr (Op::kCompares) {
        compared = Op::one(interp, insn);
      } else {
        Op::one(interp, insn);
      }
      done = 1;
    }
    count = static_cast<A>(count - done);
    interp.set_reg<A>(kRcx, insn, count);
    bool finished = count == 0;
    if constexpr (Op::kCompares) finished = finished || compared.equal() != while_equal;
    const bool pause = !finished && interp.rep_must_pause();
    if constexpr (Op::kCompares) {
      if (finished) host::Cmp::run<T>(compared.first, compared.second, interp.cpu.rflags);
    }
    if (pause) interp.pause_rep();
    if (finished || pause) return;
  }
}

template <template <class, class> class Op>
Handler bind_string(const Insn& insn) {
  return with_size(form_of(insn).size, [&]<class T>(T) -> Handler {
    return with_word_size(insn.address_size, [&]<class A>(A) -> Handler {
      return insn.rep() ? repeat<Op<T, A>, T, A> : once<Op<T, A>, T, A>;
    });
  });
}

}  // namespace

namespace bind {

Handler MOVS(const Insn& insn) {
  return bind_string<Movs>(insn);
}
Handler STOS(const Insn& insn) {
  return bind_string<Stos>(insn);
}
Handler LODS(const Insn& insn) {
  return bind_string<Lods>(insn);
}
Handler CMPS(const Insn& insn) {
  return bind_string<Cmps>(insn);
}
Handler SCAS(const Insn& insn) {
  return bind_string<Scas>(insn);
}

}  // namespace bind

}  // namespace vireo::interp
