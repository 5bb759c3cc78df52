import Testing

@testable import S3Store

/// The order of a listing.
@Suite struct ListingOrderTests {
    private func orders(_ keys: [String]) -> [ListingOrder] {
        ListingOrder.allCases.filter { order in
            zip(keys, keys.dropFirst()).allSatisfy {
                order.precedes(Array($0.utf8), Array($1.utf8))
            }
        }
    }

    @Test(
        arguments: [
            (["a", "b", "c/d"], [.bytes, .parts]),
            (["a-b/c", "a/b", "a0/b"], [.bytes]),
            (["a/b", "a/c", "a-b/c", "a0/b"], [.parts]),
            (["a/b", "a-b/c", "a/c"], []),
            (["a", "a"], []),
            (["b", "a"], []),
            (["", "a"], [.bytes, .parts]),
        ] as [([String], [ListingOrder])])
    func orderIsThatOfBytesOrOfParts(keys: [String], expected: [ListingOrder]) {
        #expect(orders(keys) == expected)
    }
}
