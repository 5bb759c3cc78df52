import Testing

@testable import S3Store

/// The division of large objects into parts.
@Suite struct PartPlanTests {
    private static let gibibyte: Int64 = 1 << 30

    @Test(
        arguments: [
            1, 5 << 20, (64 << 20) + 1, 5 * gibibyte - 1, 5 * gibibyte, 5 * gibibyte + 1,
            156 * gibibyte, 157 * gibibyte, 1024 * gibibyte, 5 * 1024 * gibibyte,
            PartPlan.largest - 1, PartPlan.largest,
        ] as [Int64])
    func partsCoverABodyWithinTheLimitsOfS3(_ size: Int64) throws {
        let plan = try #require(PartPlan(size: size, partSize: PartSizes.standard.part))
        #expect((1...10_000).contains(plan.count))
        #expect(PartSizes.allowed.contains(plan.partSize))
        var end: Int64 = 0
        for part in 0..<plan.count {
            let range = plan.range(of: part)
            #expect(range.lowerBound == end && !range.isEmpty)
            if part < plan.count - 1 { #expect(Int64(range.count) == plan.partSize) }
            end = range.upperBound
        }
        #expect(end == size)
    }

    @Test func partsGrowOnlyWhereTheyMust() throws {
        let usual = PartSizes.standard.part
        #expect(PartPlan(size: 5 * Self.gibibyte, partSize: usual)?.partSize == usual)
        #expect(PartPlan(size: 5 * Self.gibibyte, partSize: usual)?.count == 320)
        #expect(PartPlan(size: 10_000 * usual, partSize: usual)?.partSize == usual)
        let grown = try #require(PartPlan(size: 10_000 * usual + 1, partSize: usual))
        #expect(grown.partSize == usual + (1 << 20))
        let largest = try #require(PartPlan(size: 5 << 40, partSize: usual))
        #expect(largest.partSize == 525 << 20)
        #expect(largest.count == 9987)
    }

    @Test func objectThatCannotBeSplitHasNoPlan() {
        #expect(PartPlan(size: 0, partSize: 1000) == nil)
        #expect(PartPlan(size: PartPlan.largest + 1, partSize: 5 << 30) == nil)
    }

    @Test(
        arguments: [
            ("bytes 0-0/1", 0..<1, 1), ("bytes 0-99/1234", 0..<100, 1234),
            (
                "bytes 5368709120-5368709129/6000000000", 5_368_709_120..<5_368_709_130,
                6_000_000_000
            ),
        ] as [(String, Range<Int64>, Int64)])
    func aContentRangeIsRead(_ value: String, _ range: Range<Int64>, _ total: Int64) {
        let read = ContentRange(value)
        #expect(read?.range == range)
        #expect(read?.total == total)
    }

    @Test(arguments: [
        "", "bytes", "bytes */10", "bytes 0-9/*", "bytes 9-0/10", "bytes 0-10/10", "bytes 0-9",
        "0-9/10", "bytes=0-9/10", "bytes 0-9/10/10", "bytes -1-9/10", "bytes +0-9/10",
        "bytes 0-9/99999999999999999999", "bytes 0x0-9/10", "items 0-9/10", "bytes 0-/10",
    ])
    func anythingElseIsNoContentRange(_ value: String) {
        #expect(ContentRange(value) == nil)
    }
}
