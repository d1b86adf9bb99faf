-- 'C…' is a cancellation, a quantity below 1 a stock correction, POST is postage. A cancelled purchase
-- stays, because the cancellation was not known when it happened.
SELECT regexp_replace(CustomerID, '\.0$', '') AS client_id,
       try_strptime(InvoiceDate, '%m/%d/%Y %H:%M') AS timestamp,
       StockCode AS sku, UnitPrice AS price, Quantity AS quantity
FROM invoices
WHERE InvoiceNo NOT LIKE 'C%' AND TRY_CAST(Quantity AS BIGINT) > 0 AND StockCode <> 'POST'
