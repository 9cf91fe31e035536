#include "tables.hpp"

#include <algorithm>
#include <cstring>
#include <map>
#include <tuple>

namespace gelisol {

namespace {

constexpr uint32_t kSlots = 65536;      // 4 MB for two groups of cells: a share of the last-level cache
constexpr int64_t kMostLeaves = 65535;  // of a tree: separators are 16-bit

// What makes two comparisons the same: covariate, where missing values go, threshold or set.
struct Key {
    int32_t feature;
    bool missing_right;
    bool categorical;
    float threshold;
    std::vector<int32_t> set;

    auto tie() const { return std::tie(feature, missing_right, categorical, threshold, set); }
    bool operator<(const Key& other) const { return tie() < other.tie(); }
    bool operator==(const Key& other) const { return tie() == other.tie(); }
};

Key key_of(const Trees& t, int64_t node, bool with_missing) {
    Key key{t.feature[node], with_missing && !t.missing_left[node], t.is_categorical(node), 0.0f, {}};
    if (key.categorical) {
        key.set.assign(t.categories.begin() + t.category_start[node], t.categories.begin() + t.category_start[node + 1]);
        std::sort(key.set.begin(), key.set.end());
    } else {
        key.threshold = t.threshold[node] + 0.0f;  // -0 and 0 are the same threshold
    }
    return key;
}

// The shape of one tree: node numbers local to the tree, in preorder, with the leaves under each.
struct Shape {
    std::vector<int32_t> leaves;  // under each node
    int depth = 0;
};

[[noreturn]] void refuse(int64_t tree, int64_t node, const std::string& what) {
    throw std::invalid_argument("tree " + std::to_string(tree) + ", node " + std::to_string(node) + ": " + what);
}

Shape shape_of(const Trees& t, int64_t tree) {
    const int64_t first = t.tree_start[tree], count = t.tree_start[tree + 1] - first;
    Shape shape;
    shape.leaves.assign(count, 0);
    std::vector<uint8_t> seen(count, 0);
    std::vector<std::pair<int32_t, int>> stack{{0, 0}}, order;
    while (!stack.empty()) {
        const auto [node, depth] = stack.back();
        stack.pop_back();
        if (seen[node]++) refuse(tree, node, "has two parents");
        shape.depth = std::max(shape.depth, depth);
        order.emplace_back(node, depth);
        const int64_t at = first + node;
        if (t.is_leaf(at)) {
            if (!std::isfinite(t.value[at])) refuse(tree, node, "its value is not finite");
            continue;
        }
        for (const int32_t child : {t.right[at], t.left[at]}) {
            if (child <= 0 || child >= count) refuse(tree, node, "its child " + std::to_string(child) + " is not there");
            stack.emplace_back(child, depth + 1);
        }
    }
    for (auto it = order.rbegin(); it != order.rend(); ++it) {
        const int64_t at = first + it->first;
        shape.leaves[it->first] = t.is_leaf(at) ? 1 : shape.leaves[t.left[at]] + shape.leaves[t.right[at]];
    }
    return shape;
}

void require(bool holds, const char* what) {
    if (!holds) throw std::invalid_argument(what);
}

template <class T>
bool rises_to(const std::vector<T>& starts, size_t end) {
    return !starts.empty() && starts.front() == 0 && size_t(starts.back()) == end &&
           std::is_sorted(starts.begin(), starts.end());
}

Scope make_scope(int64_t first, int64_t last, const std::vector<Key>& keys) {
    Scope scope{first, last, uint32_t(keys.size()), {}};
    for (uint32_t slot = 0; slot < keys.size(); ++slot) {
        const Key& key = keys[slot];
        const bool same = slot && keys[slot - 1].feature == key.feature && keys[slot - 1].categorical == key.categorical &&
                          keys[slot - 1].missing_right == key.missing_right;
        if (!same) {
            scope.columns.push_back({uint32_t(key.feature), slot, key.missing_right, {}, {}, {}, 0});
            if (key.categorical) scope.columns.back().set_start.push_back(0);
        }
        Column& column = scope.columns.back();
        if (key.categorical) {
            column.sets.insert(column.sets.end(), key.set.begin(), key.set.end());
            column.set_start.push_back(int32_t(column.sets.size()));
            column.categories = std::max(column.categories, uint32_t(key.set.back()) + 1);
        } else {
            column.thresholds.push_back(key.threshold);
        }
    }
    return scope;
}

class Compiler {
  public:
    Compiler(const Trees& trees, bool is_double, bool with_missing)
        : t_(trees), with_missing_(with_missing), out_(std::make_unique<Tables>()) {
        out_->is_double = is_double;
        out_->features = t_.features;
        out_->base = t_.base;
        out_->divisor = t_.divisor;
    }

    std::unique_ptr<Tables> run() {
        int depth = 1;
        const int64_t trees = int64_t(t_.tree_start.size()) - 1;
        for (int64_t tree = 0; tree < trees; ++tree) {
            shapes_.push_back(shape_of(t_, tree));
            depth = std::max(depth, shapes_.back().depth);
            out_->largest_tree = std::max<int64_t>(out_->largest_tree, shapes_.back().leaves[0]);
        }
        if (out_->largest_tree > kMostLeaves)
            throw std::overflow_error("a tree has " + std::to_string(out_->largest_tree) + " leaves, more than " + std::to_string(kMostLeaves));
        out_->depth = depth;
        out_->layout = out_->is_double || out_->largest_tree > 64 ? Layout::wide
                       : out_->largest_tree > 16                  ? Layout::narrow
                       : depth <= 4                               ? Layout::perfect
                                                                  : Layout::pairs;
        make_scopes();
        out_->replicate_start.push_back(0);
        out_->node_start.push_back(0);
        out_->leaf_start.push_back(0);
        size_t scope = 0;
        for (int64_t r = 0; r < t_.replicates(); ++r) {
            if (r == out_->scopes[scope].last) ++scope;
            int64_t count = 0;
            for (int64_t tree = t_.replicate_start[r]; tree < t_.replicate_start[r + 1]; ++tree, ++count) add(tree, scope);
            // Small trees are evaluated two at a time: one of a single leaf, 0, makes the number even.
            if ((out_->layout == Layout::perfect || out_->layout == Layout::pairs) && count % 2) add_nothing();
            out_->replicate_start.push_back(int64_t(out_->leaves.size()));
        }
        return std::move(out_);
    }

  private:
    void make_scopes() {
        std::vector<Key> keys;
        int64_t first = 0;
        for (int64_t r = 0; r < t_.replicates(); ++r) {
            std::vector<Key> own, both;
            for (int64_t node = t_.tree_start[t_.replicate_start[r]]; node < t_.tree_start[t_.replicate_start[r + 1]]; ++node)
                if (!t_.is_leaf(node)) own.push_back(key_of(t_, node, with_missing_));
            std::sort(own.begin(), own.end());
            own.erase(std::unique(own.begin(), own.end()), own.end());
            std::set_union(keys.begin(), keys.end(), own.begin(), own.end(), std::back_inserter(both));
            if (both.size() > kSlots && r > first) {
                close(first, r, std::move(keys));
                first = r;
                keys = std::move(own);
            } else {
                keys = std::move(both);
            }
        }
        close(first, t_.replicates(), std::move(keys));
    }

    void close(int64_t first, int64_t last, std::vector<Key> keys) {
        out_->scopes.push_back(make_scope(first, last, keys));
        keys_.push_back(std::move(keys));
    }

    uint32_t slot(int64_t node, size_t scope) const {
        const auto& keys = keys_[scope];
        return uint32_t(std::lower_bound(keys.begin(), keys.end(), key_of(t_, node, with_missing_)) - keys.begin());
    }

    void add(int64_t tree, size_t scope) {
        const int64_t first = t_.tree_start[tree];
        const uint32_t count = uint32_t(shapes_[tree].leaves[0]);
        std::vector<double> values;
        if (out_->layout == Layout::perfect) {
            const size_t width = (size_t(1) << out_->depth) - 1;
            std::vector<uint32_t> slots(width, 0);
            values.assign(width + 1, 0.0);
            fill(first, 0, 0, 0, slots, values, scope);
            out_->perfect.insert(out_->perfect.end(), slots.begin(), slots.end());
        } else {
            grow(tree, values, scope);
        }
        finish(values, count);
    }

    void add_nothing() {
        if (out_->layout == Layout::perfect)
            out_->perfect.insert(out_->perfect.end(), (size_t(1) << out_->depth) - 1, 0);
        finish(std::vector<double>(out_->layout == Layout::perfect ? size_t(1) << out_->depth : 1, 0.0), 1);
    }

    // Below a leaf of a shallower tree, all leaves are that leaf, and it does not matter what is compared.
    void fill(int64_t first, int32_t node, int level, uint32_t place, std::vector<uint32_t>& slots,
              std::vector<double>& values, size_t scope) {
        const int64_t at = first + node;
        const bool leaf = t_.is_leaf(at);
        if (level == out_->depth) {
            values[place] = t_.value[at];
            return;
        }
        if (!leaf) slots[(size_t(1) << level) - 1 + place] = slot(at, scope);
        fill(first, leaf ? node : t_.left[at], level + 1, 2 * place, slots, values, scope);
        fill(first, leaf ? node : t_.right[at], level + 1, 2 * place + 1, slots, values, scope);
    }

    // Nodes in preorder, leaf values from left to right.
    void grow(int64_t tree, std::vector<double>& values, size_t scope) {
        const int64_t first = t_.tree_start[tree];
        const auto& leaves = shapes_[tree].leaves;
        values.assign(leaves[0], 0.0);
        std::vector<std::pair<int32_t, int32_t>> stack{{0, 0}};  // node, its first leaf
        while (!stack.empty()) {
            const auto [node, lower] = stack.back();
            stack.pop_back();
            const int64_t at = first + node;
            if (t_.is_leaf(at)) {
                values[lower] = t_.value[at];
                continue;
            }
            const int32_t middle = lower + leaves[t_.left[at]];
            out_->nodes.push_back({slot(at, scope), uint16_t(middle), uint16_t(lower), uint16_t(lower + leaves[node])});
            stack.emplace_back(t_.right[at], middle);
            stack.emplace_back(t_.left[at], lower);
        }
    }

    void finish(const std::vector<double>& values, uint32_t count) {
        size_t codes = 1;
        while (codes < values.size()) codes *= 2;
        std::vector<double> coded(codes, 0.0);
        for (uint32_t i = 0; i < values.size(); ++i) coded[gray(i)] = values[i];
        out_->leaves.push_back(int32_t(count));
        out_->node_start.push_back(int64_t(out_->nodes.size()));
        if (out_->layout == Layout::wide) {
            if (out_->is_double)
                out_->doubles.insert(out_->doubles.end(), coded.begin(), coded.end());
            else
                out_->values.insert(out_->values.end(), coded.begin(), coded.end());
            out_->leaf_start.push_back(int64_t(std::max(out_->doubles.size(), out_->values.size())));
            return;
        }
        const size_t width = out_->layout == Layout::narrow ? 64 : 16, at = out_->planes.size();
        out_->planes.resize(at + 4 * width, 0);
        for (size_t i = 0; i < coded.size(); ++i) {
            const float value = float(coded[i]);
            uint32_t bits;
            std::memcpy(&bits, &value, 4);
            for (int plane = 0; plane < 4; ++plane) out_->planes[at + width * plane + i] = uint8_t(bits >> (8 * plane));
        }
    }

    const Trees& t_;
    const bool with_missing_;
    std::unique_ptr<Tables> out_;
    std::vector<Shape> shapes_;
    std::vector<std::vector<Key>> keys_;
};

}  // namespace

void check(const Trees& t) {
    const size_t nodes = t.left.size(), replicates = t.base.size();
    require(replicates > 0 && t.replicate_start.size() == replicates + 1, "a forest needs one replicate or more");
    require(t.divisor.size() == replicates, "there must be a divisor for each replicate");
    require(!t.tree_start.empty(), "a forest needs trees");
    require(rises_to(t.replicate_start, t.tree_start.size() - 1), "the replicates' first trees do not rise to their number");
    require(rises_to(t.tree_start, nodes), "the trees' first nodes do not rise to their number");
    require(rises_to(t.category_start, t.categories.size()) && t.category_start.size() == nodes + 1,
            "the nodes' first categories do not rise to their number");
    require(t.right.size() == nodes && t.feature.size() == nodes && t.threshold.size() == nodes &&
                t.missing_left.size() == nodes && t.value.size() == nodes,
            "the node arrays differ in length");
    require(t.features > 0 && t.features < (int64_t(1) << 31), "the number of columns is out of range");
    for (size_t r = 0; r < replicates; ++r) {
        require(std::isfinite(t.base[r]), "a base value is not finite");
        require(std::isfinite(t.divisor[r]) && t.divisor[r] > 0, "a divisor is not above 0");
    }
    // Nodes that no root leads to, too: their comparisons are made all the same.
    for (size_t node = 0; node < nodes; ++node) {
        if (t.is_leaf(int64_t(node))) continue;
        require(t.feature[node] >= 0 && t.feature[node] < t.features, "a node splits on a column that is not there");
        require(!std::isnan(t.threshold[node]), "a threshold is not a number");
    }
    for (const int32_t category : t.categories) require(category >= 0 && category < (1 << 24), "a category is out of range");
    for (size_t tree = 0; tree + 1 < t.tree_start.size(); ++tree) {
        require(t.tree_start[tree + 1] > t.tree_start[tree], "a tree has no node");
        shape_of(t, int64_t(tree));
    }
}

std::unique_ptr<Tables> compile(const Trees& trees, bool is_double, bool with_missing) {
    return Compiler(trees, is_double, with_missing).run();
}

}  // namespace gelisol
