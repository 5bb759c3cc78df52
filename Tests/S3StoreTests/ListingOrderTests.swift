import Testing

@testable import S3Store

@Suite("The order of a listing") struct ListingOrderTests {
    private func orders(_ keys: [String]) -> [ListingOrder] {
        ListingOrder.allCases.filter { order in
            zip(keys, keys.dropFirst()).allSatisfy {
                order.precedes(Array($0.utf8), Array($1.utf8))
            }
        }
    }

    @Test(
        "is that of bytes, or that of parts, and never takes a key twice",
        arguments: [
            (["a", "b", "c/d"], [.bytes, .parts]),
            (["a-b/c", "a/b", "a0/b"], [.bytes]),
            (["a/b", "a/c", "a-b/c", "a0/b"], [.parts]),
            (["a/b", "a-b/c", "a/c"], []),
            (["a", "a"], []),
            (["b", "a"], []),
            (["", "a"], [.bytes, .parts]),
        ] as [([String], [ListingOrder])])
    func order(keys: [String], expected: [ListingOrder]) {
        #expect(orders(keys) == expected)
    }
}
