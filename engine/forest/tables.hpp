// A forest as tables: what the kernels read. Built once from plain tree arrays, and checked while it is built.
#pragma once

#include <cmath>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace gelisol {

// Trees as libraries store them, one after another. A node sends a cell to the right if x >= threshold, or, for a
// categorical split, if the cell's category is listed; children are numbered within their tree.
struct Trees {
    std::vector<int64_t> replicate_start;  // first tree of each replicate, and the number of trees
    std::vector<int64_t> tree_start;       // first node of each tree, and the number of nodes
    std::vector<int32_t> left, right;      // -1: a leaf
    std::vector<int32_t> feature;
    std::vector<float> threshold;
    std::vector<uint8_t> missing_left;
    std::vector<double> value;             // of leaves
    std::vector<int64_t> category_start;   // per node, and the number of categories; empty for an ordered split
    std::vector<int32_t> categories;       // those that go right
    std::vector<double> base;              // per replicate: added before the first tree
    std::vector<double> divisor;           // per replicate: the sum is divided by it
    int64_t features = 0;

    int64_t replicates() const { return int64_t(replicate_start.size()) - 1; }
    bool is_leaf(int64_t node) const { return left[node] < 0; }
    bool is_categorical(int64_t node) const { return category_start[node + 1] > category_start[node]; }
};

// The comparisons of one covariate: a slot for each, which holds a bit per cell: does it go right?
struct Column {
    uint32_t feature;
    uint32_t first;                    // slot of the first comparison
    bool missing_right;
    std::vector<float> thresholds;     // ascending; slot first + j: x >= thresholds[j]
    std::vector<int32_t> set_start;    // of a categorical column: slot first + j: x is in set j
    std::vector<int32_t> sets;
    uint32_t categories = 0;           // codes 0 ... categories - 1 occur in sets

    uint32_t slots() const { return uint32_t(set_start.empty() ? thresholds.size() : set_start.size() - 1); }
};

// Consecutive replicates that share their slots. A few replicates of many trees may use more comparisons than caches
// hold, and all replicates of a small ensemble the same few hundred.
struct Scope {
    int64_t first, last;               // replicates
    uint32_t slots;
    std::vector<Column> columns;
};

// One internal node of a tree of any shape. Leaves are numbered from left to right; separator i holds the cells whose
// leaf is i or beyond. That of a node whose subtree has leaves lower ... upper - 1 follows from those two.
struct Node {
    uint32_t slot;
    uint16_t separator, lower, upper;
};

// perfect: at most four levels and 16 leaves, two trees at a time; pairs: any shape, at most 16 leaves, two at a time;
// narrow: at most 64 leaves; wide: more. Sums in float64 are always wide.
enum class Layout { perfect, pairs, narrow, wide };

struct Tables {
    Layout layout = Layout::perfect;
    int depth = 1;                       // of `perfect` trees, 1 ... 4
    bool is_double = false;              // sums in float64, else float32
    std::vector<Scope> scopes;
    std::vector<int64_t> replicate_start;
    std::vector<uint32_t> perfect;       // 2^depth - 1 slots a tree, level by level
    std::vector<int64_t> node_start;     // of trees of any shape
    std::vector<Node> nodes;
    std::vector<uint8_t> planes;         // 16 or, of `narrow` trees, 64 leaves a tree: byte 0 of each float, byte 1, ...
    std::vector<int64_t> leaf_start;     // of `wide` trees
    std::vector<int32_t> leaves;         // how many of each tree
    std::vector<float> values;           // in the order of their codes, as are those below
    std::vector<double> doubles;
    std::vector<double> base, divisor;
    int64_t features = 0;
    int64_t largest_tree = 1;            // leaves

    int64_t replicates() const { return int64_t(replicate_start.size()) - 1; }
};

// Refuses what is no forest: std::invalid_argument says which tree and node.
void check(const Trees& trees);

// `with_missing` tells nodes apart by where missing values go; without it no value may be missing. A sound forest that is
// too large for the tables is a std::overflow_error.
std::unique_ptr<Tables> compile(const Trees& trees, bool is_double, bool with_missing);

// Leaf i's code: neighbours differ in one bit.
inline uint32_t gray(uint32_t i) { return i ^ (i >> 1); }

}  // namespace gelisol
