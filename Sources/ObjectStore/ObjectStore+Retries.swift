extension ObjectStore {
    /// Carries out requests that do no harm when repeated, and repeats those that failed in a
    /// passing way.
    ///
    /// Reads, derived objects, and content-addressed writes are such requests; a pointer write is
    /// not (``advancePointer(of:expecting:to:lineage:)``).
    package func performRepeatedly(
        _ requests: [StoreRequest]
    ) -> [Result<StoreAnswer, StoreError>] {
        var results = perform(requests)
        var repetition = 1
        while repetition < retryPolicy.attempts {
            let failed = results.indices.filter { index in
                switch results[index] {
                case .failure(let error): error.isTransient
                // 409 to a create: another creator of the same key is at work.
                case .success(.notStored(.conflict)): true
                case .success: false
                }
            }
            if failed.isEmpty { break }
            retryPolicy.pause(before: repetition)
            for (index, result) in zip(failed, perform(failed.map { requests[$0] })) {
                results[index] = result
            }
            repetition += 1
        }
        return results
    }

    /// The same for one request.
    package func performRepeatedly(
        _ request: StoreRequest
    ) throws(StoreError) -> StoreAnswer {
        guard let result = performRepeatedly([request]).first else {
            throw .nonConforming(StoreError.Attempt(request), reason: "no result")
        }
        return try result.get()
    }

    /// An answer of a kind that the request cannot have.
    func unexpected(_ answer: StoreAnswer, to request: StoreRequest) -> StoreError {
        .nonConforming(StoreError.Attempt(request), reason: "unexpected answer \(answer)")
    }
}
