import Bytes
package import ObjectStore

/// A page of S3 ListObjectsV2.
struct Listing: Equatable {
    /// The full keys, decoded.
    var objects: [Object] = []
    var isTruncated = false

    struct Object: Equatable {
        let key: String
        let size: Int64
    }

    /// Parses an answer; nil if it is not one.
    init?(_ bytes: [UInt8]) {
        guard let leaves = xmlLeaves(of: bytes) else { return nil }
        // A backend that does not support encoding-type=url does not repeat it.
        let isEncoded = leaves.contains(
            XMLLeaf(path: "/ListBucketResult/EncodingType", text: "url"))
        var key: String?
        var isListing = false
        for leaf in leaves {
            switch leaf.path {
            case "/ListBucketResult/Contents/Key":
                key = isEncoded ? Self.decoded(leaf.text) : leaf.text
                if key == nil { return nil }
            case "/ListBucketResult/Contents/Size":
                guard let name = key, let size = Int64(leaf.text), size >= 0 else { return nil }
                objects.append(Object(key: name, size: size))
                key = nil
            case "/ListBucketResult/IsTruncated":
                isTruncated = leaf.text == "true"
            default: break
            }
            if leaf.path.hasPrefix("/ListBucketResult/") { isListing = true }
        }
        guard isListing, key == nil else { return nil }
    }

    /// Decodes form encoding: some backends write a space as `+`, and all write `+` as `%2B`.
    private static func decoded(_ text: String) -> String? {
        let spaced = text.utf8.map { $0 == UInt8(ascii: "+") ? UInt8(ascii: " ") : $0 }
        return PercentCoding.decode(String(decoding: spaced, as: UTF8.self))
    }
}

/// The order in which a backend lists keys. A whole page has the same order.
enum ListingOrder: CaseIterable {
    /// The documented order of S3.
    case bytes
    /// By path components, as in a tree of directories: `a/b` before `a-b/c`. SeaweedFS uses it.
    case parts

    /// Whether the first key is listed before the second.
    func precedes(_ first: [UInt8], _ second: [UInt8]) -> Bool {
        switch self {
        case .bytes: first.lexicographicallyPrecedes(second)
        case .parts:
            // No key has a zero byte, which therefore sorts before any other byte of a component.
            first.lexicographicallyPrecedes(second) { Self.rank($0) < Self.rank($1) }
        }
    }

    private static func rank(_ byte: UInt8) -> UInt8 {
        byte == UInt8(ascii: "/") ? 0 : byte
    }
}

extension S3Store {
    /// Lists the keys below the store's prefix. S3 ListObjectsV2.
    package func list(
        prefix: String, startingAfter: String?
    ) throws(StoreError) -> [ListedObject] {
        var last = StoreError.misconfigured("No attempt was made.")
        for attempt in 1...max(retryPolicy.attempts, 1) {
            if attempt > 1 { retryPolicy.pause(before: attempt - 1) }
            do {
                return try listOnce(prefix: prefix, startingAfter: startingAfter)
            } catch  where error.isTransient {
                last = error
            }
        }
        throw last
    }

    private func listOnce(
        prefix: String, startingAfter: String?
    ) throws(StoreError) -> [ListedObject] {
        let attempt = StoreError.Attempt(.list, prefix)
        var query = [
            (name: "list-type", value: "2"), ("prefix", target.prefix + prefix),
            ("max-keys", "1000"), ("encoding-type", "url"),
        ]
        if let startingAfter { query.append(("start-after", target.prefix + startingAfter)) }
        let request = HTTPRequest(
            attempt: attempt, method: .get, key: "", query: query,
            memoryLimit: Self.listingLimit)

        let answer = try sendOne(request)
        guard let listing = Listing(answer.received.bytes) else {
            throw .nonConforming(attempt, reason: "the answer is not a listing")
        }
        let objects = try relative(listing, prefix, startingAfter, attempt)
        if objects.isEmpty, listing.isTruncated {
            throw .nonConforming(attempt, reason: "an empty page announces more pages")
        }
        return objects
    }

    /// Bytes of a page: 1000 keys of 1024 bytes, each of which can be encoded as three, and the XML
    /// around them.
    private static var listingLimit: Int { 1 << 23 }

    /// Makes keys relative to the store's prefix, and checks that the page is the requested one:
    /// callers that read page after page rely on the order.
    private func relative(
        _ listing: Listing, _ prefix: String, _ startingAfter: String?,
        _ attempt: StoreError.Attempt
    ) throws(StoreError) -> [ListedObject] {
        var previous = Array((startingAfter ?? "").utf8)
        var orders = ListingOrder.allCases
        var objects: [ListedObject] = []
        for object in listing.objects {
            let key = Array(object.key.utf8)
            guard key.starts(with: (target.prefix + prefix).utf8) else {
                throw .nonConforming(attempt, reason: "a key outside the requested prefix")
            }
            let relative = Array(key.dropFirst(target.prefix.utf8.count))
            orders.removeAll { !$0.precedes(previous, relative) }
            guard !orders.isEmpty else {
                throw .nonConforming(attempt, reason: "the keys are not sorted")
            }
            previous = relative
            objects.append(
                ListedObject(key: String(decoding: relative, as: UTF8.self), size: object.size))
        }
        return objects
    }

    /// Creates the bucket, for self-hosted stores. S3 CreateBucket without any settings.
    package func makeBucket() throws(StoreError) {
        let attempt = StoreError.Attempt(.put, "")
        let body = HTTPBody(.bytes([]))
        _ = try sendOne(HTTPRequest(attempt: attempt, method: .put, key: "", body: body))
    }

    /// Sends one request. Any answer other than 2xx is an error.
    private func sendOne(_ request: HTTPRequest) throws(StoreError) -> HTTPAnswer {
        let answer = try exchange(request)
        guard classification.isSuccess(answer) else {
            throw classification.error(request.attempt, answer)
        }
        return answer
    }
}
