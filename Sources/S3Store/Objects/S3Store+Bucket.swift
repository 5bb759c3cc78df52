package import ObjectStore

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
        let transfer = OneExchange(request)
        carryOut([transfer])
        let answer = try transfer.answer()
        guard classification.isSuccess(answer) else {
            throw classification.error(request.attempt, answer)
        }
        return answer
    }
}
