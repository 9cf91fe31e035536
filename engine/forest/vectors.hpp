// What the kernel asks of a compiler: vectors of numbers, inlining and unrolling. GCC and Clang have vectors of their own;
// elsewhere (MSVC), and where GELISOL_NO_VECTORS is defined, arrays with the same operators stand for them, and only the
// plain path is built. Every lane is computed as in the others, so that the results are the same to the bit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

// GCC for Windows keeps no stack that is aligned to 32 bytes, which its own vectors take for granted.
#if defined(__GNUC__) && !defined(GELISOL_NO_VECTORS) && (defined(__clang__) || !defined(_WIN32))
#define GELISOL_VECTORS
#define GELISOL_PRAGMA(text) _Pragma(#text)
#define GELISOL_UNROLL(times) GELISOL_PRAGMA(GCC unroll times)
#define GELISOL_INLINE inline __attribute__((always_inline))
#define GELISOL_VECTOR(T, bytes) __attribute__((vector_size(bytes))) T
#define GELISOL_CONVERT(values, T) __builtin_convertvector(values, T)
#if defined(__x86_64__)
#define GELISOL_X86
#elif defined(__aarch64__)
#define GELISOL_ARM
#endif
#else
#define GELISOL_UNROLL(times)
#define GELISOL_INLINE inline
#define GELISOL_VECTOR(T, bytes) ::gelisol::Vector<T, (bytes) / sizeof(T)>
#define GELISOL_CONVERT(values, T) ::gelisol::converted<T>(values)

namespace gelisol {

// `N` numbers, aligned as a vector of them is.
template <class T, size_t N>
struct alignas(sizeof(T) * N) Vector {
    T lanes[N];

    T& operator[](size_t lane) { return lanes[lane]; }
    const T& operator[](size_t lane) const { return lanes[lane]; }

    template <class Function>
    static Vector made(Function lane) {
        Vector result;
        for (size_t i = 0; i < N; ++i) result.lanes[i] = lane(i);
        return result;
    }
    static Vector all(T value) {
        return made([&](size_t) { return value; });
    }
    Vector operator~() const {
        return made([&](size_t i) { return T(~lanes[i]); });
    }
    Vector operator-() const {
        return made([&](size_t i) { return -lanes[i]; });
    }
    Vector operator>>(int bits) const {
        return made([&](size_t i) { return T(lanes[i] >> bits); });
    }
    Vector operator<<(int bits) const {
        return made([&](size_t i) { return T(lanes[i] << bits); });
    }
};

// Operators of two vectors, and of a vector and a number on either side.
#define GELISOL_OPERATOR(op)                                                                                                     \
    template <class T, size_t N>                                                                                                 \
    inline Vector<T, N> operator op(const Vector<T, N>& a, const Vector<T, N>& b) {                                              \
        return Vector<T, N>::made([&](size_t i) { return T(a.lanes[i] op b.lanes[i]); });                                        \
    }                                                                                                                            \
    template <class T, size_t N>                                                                                                 \
    inline Vector<T, N> operator op(const Vector<T, N>& a, std::common_type_t<T> b) {                                            \
        return a op Vector<T, N>::all(b);                                                                                        \
    }                                                                                                                            \
    template <class T, size_t N>                                                                                                 \
    inline Vector<T, N> operator op(std::common_type_t<T> a, const Vector<T, N>& b) {                                            \
        return Vector<T, N>::all(a) op b;                                                                                        \
    }                                                                                                                            \
    template <class T, size_t N, class Other>                                                                                    \
    inline Vector<T, N>& operator op##=(Vector<T, N>& a, const Other& b) {                                                       \
        return a = a op b;                                                                                                       \
    }
GELISOL_OPERATOR(+)
GELISOL_OPERATOR(-)
GELISOL_OPERATOR(*)
GELISOL_OPERATOR(/)
GELISOL_OPERATOR(&)
GELISOL_OPERATOR(|)
GELISOL_OPERATOR(^)
#undef GELISOL_OPERATOR

// A lane of a comparison: all bits where it holds, none where it does not, in an integer as wide as the numbers.
template <class T>
using Mask = std::conditional_t<sizeof(T) == 8, int64_t, int32_t>;

#define GELISOL_COMPARISON(op)                                                                                                   \
    template <class T, size_t N>                                                                                                 \
    inline Vector<Mask<T>, N> operator op(const Vector<T, N>& a, const Vector<T, N>& b) {                                        \
        return Vector<Mask<T>, N>::made([&](size_t i) { return Mask<T>(a.lanes[i] op b.lanes[i] ? -1 : 0); });                   \
    }                                                                                                                            \
    template <class T, size_t N>                                                                                                 \
    inline Vector<Mask<T>, N> operator op(const Vector<T, N>& a, std::common_type_t<T> b) {                                      \
        return a op Vector<T, N>::all(b);                                                                                        \
    }
GELISOL_COMPARISON(<)
GELISOL_COMPARISON(>)
GELISOL_COMPARISON(!=)
#undef GELISOL_COMPARISON

template <class T, size_t N>
inline Vector<T, N> selected(const Vector<Mask<T>, N>& mask, const Vector<T, N>& set, const Vector<T, N>& unset) {
    return Vector<T, N>::made([&](size_t i) { return mask.lanes[i] ? set.lanes[i] : unset.lanes[i]; });
}

template <class To, class T, size_t N>
inline To converted(const Vector<T, N>& values) {
    using Lane = std::remove_reference_t<decltype(std::declval<To&>()[0])>;
    return To::made([&](size_t i) { return Lane(values.lanes[i]); });
}

}  // namespace gelisol
#endif
