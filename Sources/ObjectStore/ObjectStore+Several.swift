extension ObjectStore {
    /// Reads several objects into memory, in parallel; nil for each that does not exist.
    ///
    /// - Parameter limit: bytes of one object. A larger one is an error.
    /// - Returns: one result for each, in order.
    package func get(_ keys: [ObjectKey], limit: Int) -> [Result<StoredObject?, StoreError>] {
        finding(keys.map { .get($0, into: .memory(limit: limit)) })
    }

    /// Looks up several objects, in parallel; nil for each that does not exist. S3 HeadObject.
    ///
    /// - Returns: one result for each, in order.
    package func head(_ keys: [ObjectKey]) -> [Result<StoredObject?, StoreError>] {
        finding(keys.map { .head($0) })
    }

    private func finding(_ requests: [StoreRequest]) -> [Result<StoredObject?, StoreError>] {
        zip(requests, performRepeatedly(requests)).map { request, result in
            result.flatMap { answer in
                switch answer {
                case .found(let object): .success(object)
                case .absent: .success(nil)
                default: .failure(unexpected(answer, to: request))
                }
            }
        }
    }
}
